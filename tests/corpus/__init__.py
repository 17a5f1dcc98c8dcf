"""A labelled corpus of small real tasks, and the test that every one is classified rightly."""
