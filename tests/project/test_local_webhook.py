"""The source that a stack on this machine has is one as `relay webhook add` stores it."""

from relay.posting.webhook.sources import authenticate, decode

from local.stack import webhook


def test_the_webhook_lets_in_the_source_of_a_stack_on_this_machine_with_its_secret_alone() -> None:
    secret = webhook.new_secret()
    sources = decode(webhook.one_source("tradingview", secret))
    assert authenticate(sources, "tradingview", secret, "127.0.0.1")
    assert not authenticate(sources, "tradingview", webhook.new_secret(), "127.0.0.1")
