/** Bits of a key that one pass of the sort looks at: few enough for the caches to keep up with the places written to. */
const DIGIT_BITS = 8;
const DIGITS = 2 ** DIGIT_BITS;

/**
 * The indices of the first `length` keys in ascending order of the keys; equal keys stay in their order. Keys are whole
 * numbers below 2^53. A radix sort as long as they span less than 2^32.
 */
export function ascendingOrder(keys: Float64Array, length: number): Uint32Array {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = 0;
  for (let at = 0; at < length; at++) {
    const key = keys[at] ?? 0;
    if (key < lowest) lowest = key;
    if (key > highest) highest = key;
  }
  let order = new Uint32Array(length);
  for (let at = 0; at < length; at++) order[at] = at;
  const span = highest - lowest;
  if (span >= 2 ** 32) return order.sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);

  let offsets = new Uint32Array(length);
  for (let at = 0; at < length; at++) offsets[at] = (keys[at] ?? 0) - lowest;
  let otherOrder = new Uint32Array(length);
  let otherOffsets = new Uint32Array(length);
  const places = new Uint32Array(DIGITS);
  for (let shift = 0; shift < 32 && span >= 2 ** shift; shift += DIGIT_BITS) {
    places.fill(0);
    for (let at = 0; at < length; at++) {
      const digit = ((offsets[at] ?? 0) >>> shift) & (DIGITS - 1);
      places[digit] = (places[digit] ?? 0) + 1;
    }
    let before = 0;
    for (let digit = 0; digit < DIGITS; digit++) {
      const count = places[digit] ?? 0;
      places[digit] = before;
      before += count;
    }
    for (let at = 0; at < length; at++) {
      const offset = offsets[at] ?? 0;
      const digit = (offset >>> shift) & (DIGITS - 1);
      const place = places[digit] ?? 0;
      places[digit] = place + 1;
      otherOffsets[place] = offset;
      otherOrder[place] = order[at] ?? 0;
    }
    [order, otherOrder] = [otherOrder, order];
    [offsets, otherOffsets] = [otherOffsets, offsets];
  }
  return order;
}
