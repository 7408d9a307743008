"""Signature Version 4, which API Gateway asks of requests to /v1 on AWS. (botocore.auth.SigV4Auth does it as well.)"""

import hashlib
import hmac
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit


def signed(method, url, headers, data, region, credentials, now=None):
    """
    The headers with those that sign them, the method, the URL (one without a query) and the body.
    credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, of a role, AWS_SESSION_TOKEN.
    """
    parts = urlsplit(url)
    time = (now or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
    headers = {**headers, "Host": parts.netloc, "X-Amz-Date": time}
    if credentials.get("AWS_SESSION_TOKEN"):
        headers["X-Amz-Security-Token"] = credentials["AWS_SESSION_TOKEN"]
    lines = sorted((name.lower(), value) for name, value in headers.items())
    names = ";".join(name for name, _ in lines)
    # What is encoded in the path is encoded once more.
    request = [method, quote(parts.path, safe="/-_.~"), "", *(f"{name}:{value}" for name, value in lines), "", names]
    request.append(hashlib.sha256(data or b"").hexdigest())
    scope = f"{time[:8]}/{region}/execute-api/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256("\n".join(request).encode()).hexdigest()])
    key = ("AWS4" + credentials["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{credentials['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers
