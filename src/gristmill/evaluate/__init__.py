"""Held-out bits per byte beside n-gram models, multiple choice by likelihood, sentence pairs."""
