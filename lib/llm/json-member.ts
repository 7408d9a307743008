/**
 * The text of a JSON object with one member set, every other character as it was. Parsing and writing anew would round integers above
 * 2^53, turn 1e400 into null, and overflow the stack on deep nesting.
 * `setValue` gets the text of the current value (undefined when there is none) and returns the new one's. A name that stands several
 * times is set each time, for parsers disagree on which one counts. `json` must be a valid JSON object; linear in its length.
 */
export function withJsonMember(json: string, name: string, setValue: (current: string | undefined) => string): string {
  const open = json.indexOf('{') + 1;
  let text = '';
  let copied = 0;
  let position = skipSpace(json, open);
  const isEmpty = json[position] === '}';
  while (json[position] === '"') {
    const keyEnd = valueEnd(json, position);
    const start = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const end = valueEnd(json, start);
    if (JSON.parse(json.slice(position, keyEnd)) === name) {
      text += json.slice(copied, start) + setValue(json.slice(start, end));
      copied = end;
    }
    const comma = skipSpace(json, end);
    position = json[comma] === ',' ? skipSpace(json, comma + 1) : comma;
  }
  if (copied > 0) return text + json.slice(copied);
  return `${json.slice(0, open)}${JSON.stringify(name)}:${setValue(undefined)}${isEmpty ? '' : ','}${json.slice(open)}`;
}

function skipSpace(json: string, from: number): number {
  let position = from;
  while (position < json.length && ' \t\r\n'.includes(json.charAt(position))) position += 1;
  return position;
}

/** The position after the value that starts at `start`: a string, a number or word, or a bracketed value to its own closing bracket. */
function valueEnd(json: string, start: number): number {
  let depth = 0;
  let position = start;
  do {
    const character = json.charAt(position);
    if (character === '"') {
      position = stringEnd(json, position);
    } else if (character === '{' || character === '[') {
      depth += 1;
      position += 1;
    } else if (character === '}' || character === ']') {
      depth -= 1;
      position += 1;
    } else if (depth > 0) {
      position += 1;
    } else {
      while (position < json.length && !',}] \t\r\n'.includes(json.charAt(position))) position += 1;
    }
  } while (depth > 0 && position < json.length);
  return position;
}

function stringEnd(json: string, start: number): number {
  let position = start + 1;
  while (position < json.length && json[position] !== '"') position += json[position] === '\\' ? 2 : 1;
  return position + 1;
}
