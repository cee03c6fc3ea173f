"""Beside the package, and imported by its tests."""


def check(answer):
    assert answer.text == "hello world\n", answer
