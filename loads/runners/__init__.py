"""Carries out a plan: here, or on a cluster."""
