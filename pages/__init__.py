"""The console a person sees: pages that draw what the engine publishes and post commands."""
