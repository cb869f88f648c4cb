"""Key-query mismatch: how far the cloud of queries lies from the cloud of keys, and whether that is what hurts.

clouds         queries and keys of many sentences
views          the same, as each softmax can see them; planes of them for pictures
moments        Fréchet distance, effective rank, norms: from means and covariances
two_samples    MMD, energy distance, sliced Wasserstein: from points
classifier     can a classifier tell them apart on unseen sentences?
matched        CKA and cosine over tokens that belong together
matching       training-free repairs of the queries
interventions  what those do to the attention on gold
measure        each distance beside a floor and a reference
analyse        a checkpoint → an `Analysis`
values         what was found, frozen
report         several of them, to JSON and back
tables         the same on a terminal

Attention is a function of q·k alone. Replace every q by M⁻ᵀq and every k by Mk, for any invertible M, and no attention
weight changes, but every distance between the clouds does. A distance therefore proves nothing about attention; the
interventions test it.
"""
