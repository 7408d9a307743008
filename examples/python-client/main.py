"""Calls that are limited over HTTP by this program itself, and one through the gateway, which does it alone."""

import os

from headgate import URL, limited, patiently, send

PROVIDER = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
MODEL = "gpt-4o-mini"

# Stored once, by whoever runs Headgate: 30 requests a minute, two of them at once, and 10,000 tokens an hour.
LIMITS = [
    {"name": "rpm", "capacity": 2, "refillAmount": 30, "refillPeriodMs": 60_000},
    {"name": "tph", "capacity": 10_000, "refillAmount": 10_000, "refillPeriodMs": 3_600_000},
]
send("PUT", f"{URL}/v1/limits/entities/python/{MODEL}", {"limits": LIMITS})


def chat(base_url, key, content):
    body = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": content}]}
    return send("POST", base_url + "/chat/completions", body, key)


def ask(content):
    """One call, charged 150 tokens until it is known what it used."""

    def work():
        answer = chat(PROVIDER, os.environ["OPENAI_API_KEY"], content)
        return answer, {"tph": answer["usage"]["total_tokens"]}

    return limited({"entity": "python", "resource": MODEL, "consume": {"rpm": 1, "tph": 150}}, work)


for question in ["How do gates work?", "Who opens them?", "And who shuts them?"]:
    print(f"{ask(question)['usage']['total_tokens']} tokens: {question}")

# The gateway estimates, limits and settles by itself: it takes a base URL and a Headgate key, here as elsewhere.
KEY = os.environ.get("HEADGATE_KEY", "hg_demo_local")
through = patiently(lambda: chat(URL + "/llm/openai/v1", KEY, "And the gateway?"))
print(f"{through['usage']['total_tokens']} tokens through the gateway")

status = send("GET", f"{URL}/v1/status/python/{MODEL}")
print("left:", {limit["limit"]: limit["available"] for limit in status["limits"]})
