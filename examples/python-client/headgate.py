"""Headgate over HTTP, with nothing but Python's standard library (3.8 or later). On AWS, requests to /v1 are signed."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

from sign import signed

URL = os.environ.get("HEADGATE_URL", "http://127.0.0.1:8787")


class RateLimited(Exception):
    """A 429: the same request may be granted after so many seconds."""

    def __init__(self, retry_after_seconds, problem):
        super().__init__(problem)
        self.retry_after_seconds = retry_after_seconds


def send(method, url, body=None, key=None):
    """The JSON that comes back. Raises RateLimited for a 429, HTTPError for other failures."""
    headers = {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    if key is not None:
        headers["Authorization"] = "Bearer " + key
    elif url.startswith("https:"):
        headers = signed(method, url, headers, data, os.environ["AWS_REGION"], os.environ)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code != 429:
            raise
        raise RateLimited(int(error.headers.get("Retry-After", "1")), error.read().decode()) from None


def patiently(ask, tries=5):
    """What ask() returns. While it is limited, it is asked again as soon as it may be granted."""
    for left in reversed(range(tries)):
        try:
            return ask()
        except RateLimited as denial:
            if left == 0:
                raise
            print(f"limited: asking again in {denial.retry_after_seconds} s")
            time.sleep(denial.retry_after_seconds)


def limited(request, work):
    """
    Waits until the request is granted, runs work(), and returns its result. work() also says what was really used, as in
    (result, {"tph": 180}). When it fails, all that was charged is given back.
    """
    lease = patiently(lambda: send("POST", URL + "/v1/acquire", request))["lease"]
    try:
        result, actual = work()
    except BaseException:
        send("POST", URL + "/v1/release", {"lease": lease})
        raise
    try:
        send("POST", URL + "/v1/adjust", {"lease": lease, "actual": actual})
    except OSError as error:
        # The work is done. What was estimated stays charged.
        print(f"not settled: {error}", file=sys.stderr)
    return result
