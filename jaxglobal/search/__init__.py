"""The search from level to level, of one problem or many: deals starts, collects ends, keeps state, stops."""
