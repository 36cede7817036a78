// The text a simulated node answers with: the rule of src/simnode/speech.hpp.
const words = `amber birch cedar delta ember fjord grove harbor island juniper kelp lantern meadow north ocean pebble
quartz river saddle timber umber valley willow xylem yarrow zephyr café señor łódź 日本 наука 🙂 anchor beacon copper dune
echo falcon glacier heron indigo jasper kestrel lagoon marble nectar onyx prairie quiver raven sable thistle upland velvet
walnut yonder zinc aspen bramble canyon drift eagle fern garnet`.split(/\s+/);

function fnv1a(text) {
  let hash = 2166136261;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

/** `count` tokens that follow from `prompt`, joined. */
export function speech(prompt, count = 16) {
  const start = fnv1a(prompt);
  return Array.from({ length: count }, (_, i) => words[(start + i) % 64]).join(' ');
}

/** The vector of a text. */
export const embedding = (text, dimensions = 8) =>
  Array.from({ length: dimensions }, (_, j) => ((fnv1a(`${text}:${j}`) % 2001) - 1000) / 1000);

/** What the node counts for chat messages whose contents are strings. */
export const promptTokens = (...contents) =>
  4 * contents.length + Math.floor((contents.reduce((sum, one) => sum + Buffer.byteLength(one), 0) + 3) / 4);
