"""Makes conformance/test/fixtures/data/byte-level: what Hugging Face's tokenizers do with the pipelines of published models.

Usage: make_byte_level_goldens.py REPOSITORY_ROOT (tokenizers 0.23.2). The vocabulary is trained here on the repository's own documents and
on the texts of the tokenizer goldens; pipelines are those of the models' tokenizer.json. Deterministic.
"""

import glob
import json
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

root = sys.argv[1]
out = f"{root}/conformance/test/fixtures/data/byte-level"
rnd = random.Random(20)

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NEMO = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def byte_level(regex, space=False):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": regex}


def sequence(*stages):
    return {"type": "Sequence", "pretokenizers": list(stages)}


PIPELINES = {
    "llama3": (None, sequence(split(LLAMA3), byte_level(False)), True),
    "qwen3": ({"type": "NFC"}, sequence(split(LLAMA3.replace("{1,3}", "")), byte_level(False)), False),
    "nemo": (None, sequence(split(NEMO), byte_level(False)), True),
    "deepseek": (
        {"type": "Sequence", "normalizers": []},
        sequence(split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK), byte_level(False)),
        False,
    ),
    "smollm2": (None, sequence({"type": "Digits", "individual_digits": True}, byte_level(True)), False),
    "gpt2": (None, byte_level(True, True), False),
}

# Texts.
corpus = [open(name, encoding="utf-8").read() for name in sorted(glob.glob(f"{root}/docs/*.md"))]
korean = "구름은 하늘에 떠 있는 작은 물방울의 무리이다. 안녕하세요, 오늘 날씨가 좋네요! 사람들은 구름을 보고 비를 짐작한다. 하늘에 구름이 많다."
corpus += [korean] * 20
TEXTS = [
    "", " ", "  ", "\n", "안녕하세요 구름", "hello the  world", "it's 12345 AND It'S 'LL", "가냘프다 👍", "구름\n\n구름  \n x", "a\tb\r\nc  \r\n",
    "DON'T shout, we'RE here", "x = 3.14159;\n\tfor(i=0;i<10;i++){}\n", "你好，世界！カタカナ ひらがな", "Привет, мир! ΣΑΣ ǅ", "מה שלומך ١٢٣",
    "e\u0301 가\u11a8 \u1112\u1161\u11ab", "👩‍👩‍👧‍👦🇰🇷❤️", "\u0000\u001b[0m\u0085\u00a0\u3000\ufeff", "한글ABC123漢字", "<|im_start|>user\n구름<|im_end|>",
    "<|im_start|> <|im_end|>", "'s 's' ''s", "   leading and trailing   ", "////\n\n/ /", "ſt 'ſ 'K", "²³¼ Ⅷ ⅷ ①", "\u0301\u0301", "\ufffd\ufffd", "a" * 50,
    " " * 40 + "x", "!" * 30, "🤖" * 10, "구" * 30, "\n" * 20, "1" * 20,
]
pool = list("aA1 .'\n\t가é漢😀_-²\u0301") + ["the", "구름", "  ", "'s", "\r\n", "<|im_end|>"]
for _ in range(45):
    TEXTS.append("".join(rnd.choice(pool) for _ in range(rnd.randint(2, 14))))

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, True, False)])
tokenizer.train_from_iterator(
    corpus, trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
)
base = json.loads(tokenizer.to_str())
merges = [" ".join(pair) for pair in base["model"]["merges"]]
SPECIAL = [("<|im_start|>", True), ("<|im_end|>", True), ("<tool>", False)]
added = [
    {"id": len(base["model"]["vocab"]) + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    for i, (content, special) in enumerate(SPECIAL)
]
template = {
    "type": "Sequence",
    "processors": [
        byte_level(True, True),
        {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [added[0]["id"]], "tokens": ["<|im_start|>"]}},
        },
    ],
}
vocab = [piece for piece, _ in sorted(base["model"]["vocab"].items(), key=lambda item: item[1])]
pipelines = {}
for name, (normalizer, pre, ignore) in PIPELINES.items():
    file = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre,
        "post_processor": template, "decoder": byte_level(True, True),
        "model": {**base["model"], "ignore_merges": ignore},
    }  # fmt: skip
    made = Tokenizer.from_str(json.dumps(file))
    pipelines[name] = {
        "normalizer": normalizer,
        "pre_tokenizer": pre,
        "ignore_merges": ignore,
        "ids": [made.encode(text, add_special_tokens=False).ids for text in TEXTS],
        "framed": made.encode(TEXTS[4]).ids,
    }
sequences = [[rnd.randrange(len(vocab) + 3) for _ in range(rnd.randint(1, 12))] for _ in range(60)]
json.dump(
    {
        "vocab": vocab,
        "merges": merges,
        "added_tokens": added,
        "post_processor": template,
        "texts": TEXTS,
        "pipelines": pipelines,
        "sequences": [{"ids": ids, "skipped": made.decode(ids), "whole": made.decode(ids, skip_special_tokens=False)} for ids in sequences],
    },
    open(f"{out}/pipelines.json", "w"),
    ensure_ascii=True,
    separators=(",", ":"),
)

# Stages one by one.
stage_texts = ["", " a  b c ", "a.b,c!d", "x1 22 ③Ⅷ", "구름, 하늘\n", "E\u0301ÀΣΑΣ İß", "\u1eb9\u0301 \u2460\ufb01", "a\u00a0b\u3000c\u0085", "--a--b--", "'s don't", "()[]$+<=>^`|~¡«", "😀 a"]
pre = [
    {"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
    byte_level(True), byte_level(True, True), byte_level(False, True),
]  # fmt: skip
for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
    pre.append({"type": "Punctuation", "behavior": behavior})
    for invert in (False, True):
        pre.append({"type": "Split", "pattern": {"String": "-"}, "behavior": behavior, "invert": invert})
        pre.append({"type": "Split", "pattern": {"Regex": r"\s+|\p{P}"}, "behavior": behavior, "invert": invert})
        pre.append({"type": "Split", "pattern": {"Regex": r"\b|x*"}, "behavior": behavior, "invert": invert})
norm = [
    {"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")
] + [
    {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, {"type": "Replace", "pattern": {"Regex": r"\s{2,}|[[:punct:]]+"}, "content": "<>"},
    {"type": "Replace", "pattern": {"Regex": "x?"}, "content": "~"},
    {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]},
]  # fmt: skip


def wrapped(part, stage):
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, "model": {"type": "BPE", "vocab": {}, "merges": []}}  # fmt: skip
    return Tokenizer.from_str(json.dumps({**file, part: stage}))


decode_tokens = [["Ġa", "b"], ["ì", "ķĪ"], ["<｜x｜>", "é"], ["▁a", "▁b"], ["<0xEA>", "<0xB0>", "<0x80>", "c"], ["<0xEA>", "x"], [" a ", " b "]]
decode_stages = [
    byte_level(True), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    {"type": "Replace", "pattern": {"Regex": "[▁ ]+"}, "content": "_"},
    {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
]  # fmt: skip
stages = {
    "texts": stage_texts,
    "pre_tokenizers": [
        {"stage": stage, "words": [[word for word, _ in wrapped("pre_tokenizer", stage).pre_tokenizer.pre_tokenize_str(text)] for text in stage_texts]}
        for stage in pre
    ],
    "normalizers": [
        {"stage": stage, "texts": [wrapped("normalizer", stage).normalizer.normalize_str(text) for text in stage_texts]} for stage in norm
    ],
    "tokens": decode_tokens,
    "decoders": [{"stage": stage, "texts": [wrapped("decoder", stage).decoder.decode(tokens) for tokens in decode_tokens]} for stage in decode_stages],
}
json.dump(stages, open(f"{out}/stages.json", "w"), ensure_ascii=True, separators=(",", ":"))

# Regular expressions: random ones, with what they match marked; classes by how many code points below U+20000 they hold, and a hash of which.
characters = list("aabbsStTkfl'dmeMLvr  \n\r\t12.-_[]") + ["ſ", "\u212a", "é", "가", "한", "😀", "ﬀ", "ß", "²", "\u0085", "\ufeff", "\u0301", "Ⅷ", "ⓐ", "١"]


def literal():
    return rnd.choice(list("abstklmevrdf' 1") + ["\\.", "\\-", "é", "가", "😀", "\n"])


def item():
    return rnd.choice(
        [literal(), literal(), "a-z", "A-Z", "0-9", "가-힣", " -~", r"\s", r"\d", r"\w", r"\h", r"\S", r"\W", r"\r", r"\p{L}", r"\p{N}", r"\p{Lu}",
         r"\P{L}", r"\p{^N}", r"\p{Han}", r"\p{S}", "[:alpha:]", "[:punct:]", "[:^space:]", "[^a-f]", "[k-m]&&[l-z]"]
    )  # fmt: skip


def char_class():
    return "[" + ("^" if rnd.random() < 0.35 else "") + "".join(item() for _ in range(rnd.randint(1, 3))) + "]"


def atom(depth, fold):
    r = rnd.random()
    if r < 0.4:
        return literal()
    if r < 0.58:
        return "[" + rnd.choice(["", "^"]) + "".join(rnd.choice(["s", "k", "a-z", "t", "'"]) for _ in range(2)) + "]" if fold else char_class()
    if r < 0.7:
        return rnd.choice([r"\s", r"\d", r"\w", r"\S", ".", r"\W", r"\h", r"\R", r"\N"])
    if r < 0.76:
        return rnd.choice(["^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z"])
    if depth <= 0:
        return literal()
    opening = rnd.choice(["(?:", "(?:", "(", "(?i:", "(?>", "(?=", "(?!", "(?<name>"])
    if rnd.random() < 0.1:
        return rnd.choice(["(?<=", "(?<!"]) + literal() + rnd.choice(["", "|" + literal()]) + ")"
    return opening + choice(depth - 1, fold or opening == "(?i:") + ")"


def quantified(depth, fold):
    one = atom(depth, fold)
    if rnd.random() < 0.5 or one[0] in "^$" or one[:2] in (r"\b", r"\B", r"\A", r"\z", r"\Z") or one[:3] in ("(?=", "(?!", "(?<"):
        return one
    return one + rnd.choice(["?", "*", "+", "+", "*", "{2}", "{1,3}", "{2,}", "{,2}", "??", "*?", "+?", "{1,2}?", "?+", "*+", "++", "{2}?", "{1,2}+"])


def choice(depth, fold=False):
    return "|".join("".join(quantified(depth, fold) for _ in range(rnd.randint(1, 3))) for _ in range(rnd.choice([1, 1, 2])))


patterns = []
while len(patterns) < 400:
    pattern = choice(2)
    if len(pattern) > 60:
        continue
    texts = ["".join(rnd.choice(characters) for _ in range(rnd.randint(1, 16))) for _ in range(3)]
    try:
        replace = normalizers.Replace(Regex(pattern), "<>")
        patterns.append({"pattern": pattern, "texts": texts, "replaced": [replace.normalize_str(text) for text in texts]})
    except BaseException:
        continue
points = [point for point in range(1, 0x20000) if not 0xD800 <= point < 0xE000]
everything = "".join(map(chr, points))
classes = {}
for name in r"\s \w \d \h [\w] [[:alpha:]] [[:alnum:]] [[:punct:]] [[:graph:]] [[:print:]] [[:blank:]] [[:upper:]] [[:lower:]] [[:word:]] \p{L} \p{Lu} \p{Ll} \p{Lt} \p{Lm} \p{Lo} \p{M} \p{Mn} \p{N} \p{Nl} \p{No} \p{P} \p{Pc} \p{Punct} \p{S} \p{So} \p{Z} \p{C} \p{Cn} \p{Cf} \p{Han} \p{Hangul} \p{Latin} \p{Emoji} (?i:[s]) (?i:[a-k])".split():
    matched = {word for word, _ in pre_tokenizers.Split(Regex(name), "removed", True).pre_tokenize_str(everything)}
    value = 0x811C9DC5
    count = 0
    for point in points:
        if chr(point) in matched:
            count += 1
            value = ((value ^ point) * 0x01000193) & 0xFFFFFFFF
    classes[name] = [count, value]
json.dump({"patterns": patterns, "classes": classes}, open(f"{out}/patterns.json", "w"), ensure_ascii=True, separators=(",", ":"))
