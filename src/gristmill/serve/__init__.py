"""The OpenAI-compatible server and the web pages: chat, arena, labelling, documents, runs."""
