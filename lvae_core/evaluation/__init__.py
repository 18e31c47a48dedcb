"""Estimates of a trained model, and sentences from it."""
