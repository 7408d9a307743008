/** The `error` in which OpenAI's API refuses, and which clients of most providers read: where an answer has none, they tell of "no body". */
export const openAiError = (code: string, message: string, field?: string) => ({
  error: { message, type: code, param: field ?? null, code },
});
