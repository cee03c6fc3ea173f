"""What is measured, as values that merge.

Everything here is pure and follows one law: ``a.merge(b)`` is associative and commutative, so
that a thousand workers can report in any order and the sum is the same.
"""
