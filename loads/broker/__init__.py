"""The broker: routes plans to agents, accounts for their results, publishes them."""
