"""The upper limit: a Flask handler that reads the body and answers 200, without verifying or storing it."""

from flask import Flask, request

app = Flask(__name__)


@app.post("/webhook")
def receive() -> tuple[str, int]:
    request.get_data()
    return "", 200
