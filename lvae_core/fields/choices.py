"""The choices of config fields that are names, and limits on those that are numbers."""

from __future__ import annotations

from typing import Literal

Setting = Literal["standard", "inputless"]
Averaging = Literal["none", "loss", "hidden"]
Encoder = Literal["none", "lstm"]
Posterior = Literal["gaussian", "von_mises_fisher"]
Decoder = Literal["lstm", "cnn"]
Inference = Literal["amortised", "semi_amortised"]
ReverseClipping = Literal["consistent", "per_sentence", "none"]
Step = Literal["joint", "aggressive"]
AggressiveMI = Literal["mi_batch32", "mi"]
AggressiveClip = Literal["joint", "separate"]
ObjectiveName = Literal["elbo", "importance_weighted"]
EncoderGradient = Literal["doubly_reparameterised", "reparameterised"]
KLSchedule = Literal["linear", "cyclical"]
DecoderStart = Literal["h0_linear_c0_zero", "c0_linear_h0_tanh"]
LRSchedule = Literal["plateau", "after_plateau", "every", "reload_best"]
PatienceRule = Literal["in_all", "in_a_row"]
ImprovementOver = Literal["best", "previous"]
TestedEpoch = Literal["best", "last"]
Optimiser = Literal["sgd", "adam"]
Batching = Literal["bucketed", "shuffled", "equal_length"]
Precision = Literal["float32", "bfloat16", "auto"]
EvalPrecision = Literal["float32", "bfloat16"]

FEWEST_EXACT = 6
"""The least iw_exact_samples above 0: three estimates share them, and each needs two for a variance."""

ENCODER_SOURCES = ("lstm-lm", "autoencoder")
"""The runs that an encoder can start from by name; see ``parents.py``."""
