"""Small tokenizers, made here: byte-level (GPT-2), metaspace with byte fallback (Llama 2)."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

EOS, BOS = "</s>", "<s>"
CORPUS = (
    "The quick brown fox jumps over the lazy dog.",
    "  def main():\n    return 'héllo wörld — naïve café'\n",
    "日本語のテキスト、中文文本, русский текст, emoji 😀👩‍👩‍👧 and ½ + €5",
    "a a a the the then these  two  spaces   three",
) * 4


def byte_level(vocab_size: int = 320) -> Tokenizer:
    """Bytes are letters of GPT-2's alphabet; merges are learned from CORPUS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _trained(tokenizer, vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def bytes_only() -> Tokenizer:
    """One token a byte, whose id is the byte's place in GPT-2's alphabet; 256 is EOS, 257 is BOS."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(EOS, special=True), AddedToken(BOS, special=True)])
    return tokenizer


def metaspace(vocab_size: int = 160) -> Tokenizer:
    """Spaces are ▁, as T5 has them; unknown characters are lost."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _trained(tokenizer, vocab_size, special_tokens=["<unk>", BOS, EOS])


def byte_fallback() -> Tokenizer:
    """Spaces are ▁, characters beyond the vocabulary are bytes, as Llama 2 has them."""
    pieces = ["<unk>", BOS, EOS, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(97, 123))]
    pairs = [("▁", "t"), ("t", "h"), ("▁t", "h"), ("▁th", "e"), ("a", "n")]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, *(a + b for a, b in pairs)])}
    model = models.BPE(vocab=vocabulary, merges=pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<unk>", BOS, EOS)])
    return tokenizer


def _trained(tokenizer: Tokenizer, vocab_size: int, **options: object) -> Tokenizer:
    special = options.pop("special_tokens", [BOS, EOS])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, show_progress=False, **options
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer
