"""The ceiling: a Flask handler that reads the body and answers 200. It verifies and stores nothing."""

from flask import Flask, request

app = Flask(__name__)


@app.post("/webhook")
def receive() -> tuple[str, int]:
    request.get_data()
    return "", 200
