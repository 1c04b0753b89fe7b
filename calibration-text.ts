/**
 * Text that weights are fitted to where the caller has none: Korean and English of many kinds, written for gureum and
 * under its licence. Small on purpose: a model's own kind of text is better, see docs/quantization.md.
 */
import type { ChatMessage } from "./tokenizer/chat-template.ts";

export const builtinTexts: readonly string[] = [
  "구름은 물방울이나 얼음 알갱이가 공기 속에 떠 있는 것이다. 따뜻하고 습한 공기가 위로 올라가면 기압이 낮아져 부풀고, 부풀면서 식는다. 이슬점보다 차가워지면 수증기가 작은 먼지에 달라붙어 물방울이 되고, 그런 물방울이 수없이 모여 우리 눈에 하얗게 보인다. 물방울이 서로 부딪혀 커지면 더는 떠 있지 못하고 비가 되어 내린다.",
  "Clouds look still from the ground, but they are never at rest. Air rises on one side, cools, and drops its water on the other; what seems to be one object is a place where drops are born and vanish all the time. A small fair-weather cloud may weigh as much as a hundred elephants, yet it floats, because the drops are so fine that the slightest updraught carries them.",
  "오늘 오전 서울은 대체로 맑겠으나 오후부터 서쪽에서 구름이 많아지겠습니다. 낮 최고 기온은 21도에서 24도로 어제보다 2도가량 높겠고, 밤늦게 서해안을 시작으로 비가 오는 곳이 있겠습니다. 예상 강수량은 5에서 20밀리미터입니다. 바다의 물결은 0.5에서 1.5미터로 일겠으니 배를 타시는 분들은 최신 기상 정보를 참고하시기 바랍니다.",
  'The council voted 7 to 4 on Tuesday evening to repair the old bridge rather than replace it. The work, which is expected to cost about 2.3 million euros, will begin in March and last eight months. "A new bridge would have been faster to build," said the engineer in charge, "but nobody in this town wanted to lose the stone arches." Buses will take the northern road until then.',
  "김치찌개 만드는 법. 재료: 잘 익은 김치 300그램, 돼지고기 목살 200그램, 두부 반 모, 양파 반 개, 대파 한 대, 고춧가루 한 큰술, 다진 마늘 한 작은술. 먼저 냄비에 고기를 넣고 중불에서 볶는다. 겉이 익으면 김치를 넣고 5분쯤 더 볶은 다음 물 500밀리리터를 붓는다. 끓기 시작하면 불을 줄이고 20분 동안 끓인다. 마지막에 두부와 대파를 넣고 한소끔 더 끓이면 된다.",
  "To make flat bread you need only flour, water, salt and patience. Mix 500 g of flour with 320 ml of warm water and two teaspoons of salt, knead for ten minutes, and let the dough rest under a cloth for half an hour. Divide it into eight pieces, roll each as thin as a coin, and bake them one after the other in a dry, very hot pan, about a minute on each side.",
  "세종대왕은 1443년에 훈민정음을 만들고 1446년에 반포하였다. 그전까지 백성들은 말은 우리말로 하면서 글은 한자로 써야 했으므로, 배우지 못한 사람은 억울한 일을 당해도 글로 적어 알릴 수가 없었다. 훈민정음은 소리를 내는 기관의 모양을 본떠 자음을 만들고, 하늘과 땅과 사람을 본떠 모음을 만들었다. 그래서 글자의 모양과 소리 사이에 규칙이 있어 누구나 쉽게 익힐 수 있다.",
  "The printing press did not spread because people wanted more books; it spread because it made small, dull things cheap: forms, calendars, notices, price lists. Only when the presses stood idle between such jobs did their owners look for longer texts to keep them busy. Many a great work owes its first edition to a quiet month in the trade of indulgences and almanacs.",
  'def moving_average(values, window):\n    """Mean of each run of `window` values."""\n    if window < 1:\n        raise ValueError("window must be at least 1")\n    total = 0.0\n    means = []\n    for i, value in enumerate(values):\n        total += value\n        if i >= window:\n            total -= values[i - window]\n        if i >= window - 1:\n            means.append(total / window)\n    return means\n',
  'export function parseQuery(text: string): Map<string, string> {\n  const found = new Map<string, string>();\n  for (const pair of text.replace(/^\\?/, "").split("&")) {\n    const [key = "", value = ""] = pair.split("=").map(decodeURIComponent);\n    if (key !== "") found.set(key, value);\n  }\n  return found;\n}\n\n// console.log(parseQuery("?name=gureum&bits=4"));\n',
  "지훈이는 사과를 24개 가지고 있었다. 그중 3분의 1을 동생에게 주고, 남은 사과의 절반을 이웃집 할머니께 드렸다. 지훈이에게 남은 사과는 몇 개인가? 풀이: 24의 3분의 1은 8이므로 동생에게 준 뒤에는 24 - 8 = 16개가 남는다. 16개의 절반은 8개이므로 할머니께 드린 뒤에는 16 - 8 = 8개가 남는다. 답은 8개이다.",
  "A train leaves the station at 9:40 and travels 150 kilometres at 60 kilometres per hour. It then waits for 20 minutes and goes on for another 90 kilometres at 45 kilometres per hour. When does it arrive? The first part takes 150 / 60 = 2.5 hours, the second 90 / 45 = 2 hours. Together with the stop that is 4 hours and 50 minutes, so the train arrives at 14:30. The answer is 14:30.",
  "배우들의 연기는 좋았는데 이야기가 너무 뻔했다. 처음 30분은 정말 재미있게 봤고 음악도 마음에 들었지만, 뒤로 갈수록 억지스러운 장면이 많아서 집중이 안 됐다. 그래도 마지막 장면에서는 눈물이 났다. 한 번쯤 볼 만한 영화. 별 세 개 반. 친구한테 추천하기에는 조금 애매하다.",
  "I bought this lamp for my desk two months ago. The light is warm and even, and the arm stays where you put it. What I do not like is the switch: it sits on the cable, under the desk, so that I have to bend down every time. For the price it is still a good lamp, and the seller answered my question within an hour. Four stars out of five.",
  '{"id": 1042, "title": "가을 산책", "tags": ["여행", "사진", "autumn"], "author": {"name": "박서연", "joined": "2023-11-02"}, "likes": 87, "published": true, "rating": 4.6, "comments": [{"from": "lee", "text": "사진이 정말 예뻐요!"}, {"from": "anna", "text": "Where was this taken?"}], "next": null}',
  "# Release notes\n\n## 2.4.0\n\n- The importer reads files of any length; before, it stopped at 2 GB.\n- `--quiet` prints errors only.\n- Fixed: a name with a space in it was cut off at the space (thanks to the three people who told us).\n\n## 2.3.1\n\n- Dates before 1970 are sorted correctly.\n\n| option | default | meaning |\n|---|---|---|\n| `--jobs N` | 4 | files read at the same time |\n| `--strict` | off | warnings are errors |\n",
  "SELECT c.name, COUNT(o.id) AS orders, SUM(o.total) AS revenue\nFROM customers AS c\nLEFT JOIN orders AS o ON o.customer_id = c.id\nWHERE o.created_at >= '2024-01-01'\nGROUP BY c.name\nHAVING COUNT(o.id) > 3\nORDER BY revenue DESC\nLIMIT 20;\n",
  "할머니께. 안녕하세요, 잘 지내시지요? 여기는 벌써 첫눈이 내렸어요. 보내 주신 감은 기숙사 친구들과 나누어 먹었는데 다들 그렇게 단 감은 처음이라고 하더라고요. 시험은 다음 주에 끝나고, 20일쯤 기차를 타고 내려갈 수 있을 것 같아요. 그때까지 감기 조심하시고, 무릎은 꼭 병원에 가서 보여 주세요. 보고 싶어요. 손녀 수아 올림.",
  "Dear Mr Okafor, thank you for your letter of the 3rd of May. We have looked into the delay and must apologise: your parcel was sent to our warehouse in Lyon by mistake and did not leave it until the 29th. It should reach you by Friday. As you asked, we have returned the cost of the postage to your account. Please write to us again if anything in the parcel is missing. Yours sincerely, M. Laurent.",
  "빛은 진공에서 1초에 약 30만 킬로미터를 간다. 태양에서 떠난 빛이 지구에 닿기까지는 8분 19초쯤 걸리고, 가장 가까운 별에서 오는 빛은 4년이 넘게 걸린다. 그러므로 밤하늘을 올려다보는 일은 과거를 보는 일이기도 하다. 어떤 별은 우리가 그 빛을 보는 지금 이미 사라지고 없을지도 모른다.",
  "The mitochondrion is often called the power station of the cell, though a better picture might be a dam. Food is broken down step by step, and at each step charged particles are pumped to one side of a membrane. They flow back through a tiny turbine, a protein that really turns, some hundred times a second, and each turn presses together three molecules of the fuel that everything else in the cell runs on.",
  "제1조(목적) 이 규칙은 공동 작업실의 이용에 필요한 사항을 정함을 목적으로 한다. 제2조(이용 시간) 작업실은 평일 오전 9시부터 오후 10시까지 이용할 수 있다. 다만, 공휴일에는 그러하지 아니하다. 제3조(책임) 이용자는 기구를 사용한 뒤 제자리에 두어야 하며, 고의 또는 과실로 기구를 파손한 경우에는 이를 변상하여야 한다.",
  "Either party may end this agreement by giving the other three months' notice in writing. Sums that have become due before the end of the agreement remain payable. If a provision of this agreement is held to be invalid, the others are not affected, and the parties shall replace it by one that comes as near as possible to what they intended.",
  "민수: 야, 너 어제 왜 전화 안 받았어?\n지은: 미안, 일찍 잠들었어. 무슨 일 있었어?\n민수: 아니, 그냥 영화 보러 갈까 했지. 오늘은 어때?\n지은: 오늘은 알바가 있어서 안 되고, 토요일은 괜찮아.\n민수: 그럼 토요일 두 시에 역 앞에서 보자.\n지은: 좋아! 늦으면 네가 팝콘 사는 거다?\n민수: ㅋㅋㅋ 알았어.",
  '"You are late," said the old woman without turning round. "The water is nearly gone." Jonas put down the lantern and looked over the edge. Far below, where the lake had been, there was mud, and in the mud stood the roofs of houses. "I thought it was only a story," he said. "It was," she answered, "until somebody had to pay for it."',
  "운동을 시작하려는 사람에게 가장 중요한 것은 무리하지 않는 것이다. 첫째 주에는 하루 20분씩 걷고, 둘째 주부터 조금씩 속도를 높인다. 숨이 차지만 말은 할 수 있을 정도가 알맞다. 무릎이나 허리가 아프면 쉬어야 하며, 통증이 이어지면 의사와 상의하는 것이 좋다. 물은 목이 마르기 전에 자주 마신다.",
  "What is a group in mathematics? It is a set together with an operation that combines any two of its elements into a third, such that the operation is associative, there is an element that changes nothing, and every element can be undone. The whole numbers with addition are a group; so are the turns of a cube, and so are the ways to shuffle a deck of cards.",
  "부산에서 출발해 경주를 거쳐 포항까지 가는 길은 하루면 충분하지만, 이틀을 잡는 편이 낫다. 경주에서는 불국사보다 이른 아침의 대릉원을 권한다. 안개가 걷히기 전 둥근 무덤 사이를 걷고 있으면 천 년이라는 시간이 손에 잡힐 듯하다. 점심은 시장에서 국수로 간단히 먹고, 해가 지기 전에 바다에 닿도록 하자.",
  "1. Unplug the machine and let it cool down.\n2. Open the cover (four screws, marked A to D).\n3. Take out the filter and rinse it under running water; do not use soap.\n4. Let it dry for at least 12 hours.\n5. Put everything back in the reverse order.\n\nWarning: never run the machine without its filter. If the red light blinks three times, see page 18.",
  "인공 신경망은 많은 수를 곱하고 더하는 일을 되풀이한다. 가중치를 16비트 대신 4비트로 적으면 메모리에서 읽어야 할 양이 4분의 1로 줄어 같은 기계에서 훨씬 빠르게 답할 수 있다. 문제는 반올림 오차이다. 큰 값을 나르는 입력에 곱해지는 가중치를 더 촘촘하게 나타내면, 같은 비트 수로도 결과가 덜 흐트러진다.",
  "A hash table trades memory for time. Each key is turned into a number, and the number says where to look; if two keys collide, a short walk settles the matter. As long as the table is not too full, finding one entry among a billion costs no more than finding one among ten. The price is paid in order: a hash table cannot tell you which key comes next.",
  "봄이 오면 강가의 버들이 먼저 안다. 아직 바람 끝이 찬데도 가지마다 연두가 번지고, 얼음이 풀린 물은 낮은 소리로 흐른다. 어린 시절 나는 그 버들가지를 꺾어 피리를 만들곤 했다. 소리는 서툴고 짧았지만, 그 소리가 나면 정말로 봄이 온 것 같았다.",
];

/** Conversations; they go through the model's own chat template where it has one. */
export const builtinChats: readonly (readonly ChatMessage[])[] = [
  [
    { role: "user", content: "고려대학교는 어디에 있나요?" },
    { role: "assistant", content: "고려대학교의 서울캠퍼스는 서울 성북구 안암동에 있고, 세종캠퍼스는 세종시에 있습니다." },
  ],
  [
    { role: "user", content: "What is the difference between weather and climate?" },
    {
      role: "assistant",
      content:
        "Weather is what happens today; climate is what you can expect over many years. A cold week says nothing about the climate, just as one roll of a die says nothing about its average.",
    },
  ],
  [
    { role: "user", content: "요즘 잠이 잘 안 와요. 어떻게 하면 좋을까요?" },
    {
      role: "assistant",
      content:
        "자기 전 한 시간은 휴대전화를 멀리하고, 매일 같은 시간에 일어나 보세요. 낮에 햇볕을 쬐며 걷는 것도 도움이 됩니다. 2주가 지나도 나아지지 않으면 병원에 가 보시는 것이 좋겠습니다.",
    },
    { role: "user", content: "커피는 몇 시까지 마셔도 되나요?" },
    { role: "assistant", content: "사람마다 다르지만, 오후 두 시 이후에는 마시지 않는 것을 권합니다." },
  ],
  [
    { role: "user", content: "Write a Python function that checks whether a word is a palindrome." },
    {
      role: "assistant",
      content:
        '```python\ndef is_palindrome(word: str) -> bool:\n    letters = [c.lower() for c in word if c.isalpha()]\n    return letters == letters[::-1]\n```\n\nIt ignores case and everything that is not a letter, so `is_palindrome("Never odd or even")` is true.',
    },
  ],
  [
    { role: "user", content: "다음 문장을 영어로 번역해 주세요: 구름 사이로 햇빛이 비쳤다." },
    { role: "assistant", content: "The sun shone through a gap in the clouds." },
  ],
  [
    { role: "user", content: "점심 메뉴 추천해줘" },
    { role: "assistant", content: "날이 쌀쌀하니 따뜻한 순두부찌개는 어떠세요? 가볍게 드시고 싶다면 김밥도 좋습니다." },
  ],
  [
    { role: "user", content: "A shop sells pens at 3 for 2 dollars. How much do 12 pens cost?" },
    {
      role: "assistant",
      content: "12 pens are 12 / 3 = 4 groups of three, and each group costs 2 dollars, so they cost 4 * 2 = 8 dollars. The answer is 8.",
    },
  ],
  [
    { role: "user", content: "오늘 너무 힘들었어" },
    { role: "assistant", content: "고생 많으셨어요. 오늘은 따뜻한 물로 씻고 푹 쉬세요." },
  ],
];
