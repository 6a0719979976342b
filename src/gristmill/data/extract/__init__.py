"""From an HTML page to its main text: encoding, tree, rules, formulae, tables, text, metadata."""
