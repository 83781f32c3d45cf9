"""Text in front of models that generate tokens: tokenizers, chat templates, stop strings, answers as text.

Knows neither HTTP nor gRPC. Endpoints make a `TextCall` and read a `TextAnswer`.
"""

from controller.text.answers import TextAnswer, TextEnded, TextPiece, WholeAnswer, whole_answer
from controller.text.calls import TextCall
from controller.text.front import TextFront
from controller.text.model_text import ModelText, open_text, open_texts
from controller.text.refused import Refused

__all__ = [
    "ModelText",
    "Refused",
    "TextAnswer",
    "TextCall",
    "TextEnded",
    "TextFront",
    "TextPiece",
    "WholeAnswer",
    "open_text",
    "open_texts",
    "whole_answer",
]
