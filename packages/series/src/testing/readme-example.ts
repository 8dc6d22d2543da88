import { B_G8, B_G22, type Defects, defectSwitches } from '@heki/series';

// A layer lists its defects by id, with what happens, why, and how it is mended; here two that several layers share.
const mine = { 'B-G8': B_G8, 'B-G22': B_G22 } satisfies Defects;
for (const [id, { title, parts }] of Object.entries(mine)) {
  console.log(`${id}: ${title} (${Object.keys(parts).join(', ')})`);
}

// The published series has them all, but for one that is mended by hand. A choice about another layer's is no mistake.
const switches = defectSwitches(mine, 'rfc-v2', { 'B-G8': false, 'B-H1': true } as { 'B-G8': boolean });
console.log(JSON.stringify(switches));

// Where the profiles differ, the layer reads its switch, and nothing else.
console.log(switches['B-G22'] ? 'as published' : 'mended');
