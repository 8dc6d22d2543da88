import {
  compareImage,
  createImageView,
  type ImageSymbols,
  imageVirtualAddress,
  readSites,
} from '@heki/patch-sites';

// An image of one page of code, with a LOCK prefix at 0x10, which .smp_locks lists. Addresses are signed, so that they are exact.
const CODE = -0x7f00_0000;
const TABLE = CODE + 0x10_0000;
const code = new Uint8Array(4096).fill(0xcc);
code.set([0xf0, 0xff, 0x00, 0xc3], 0x10); // lock inc dword [rax]; ret
const locks = new Uint8Array(4);
new DataView(locks.buffer).setInt32(0, CODE + 0x10 - TABLE, true); // relative to itself

const names: Readonly<Record<string, number>> = { _stext: CODE, _etext: CODE + 4096 };
const symbols: ImageSymbols = {
  named: (name) => names[name],
  at: (address) => Object.keys(names).filter((name) => names[name] === address),
  withPrefix: (prefix) => Object.entries(names).filter(([name]) => name.startsWith(prefix)),
};
const image = createImageView(
  {
    segments: [
      { address: imageVirtualAddress(CODE), bytes: code, kind: 'text' },
      { address: imageVirtualAddress(TABLE), bytes: locks, kind: 'init' },
    ],
    sections: [{ name: '.smp_locks', address: imageVirtualAddress(TABLE), size: 4 }],
  },
  symbols,
);
const text = { start: CODE, end: CODE + 4096 };
for (const { kind, at } of readSites(image, text)) console.log(`${kind} at +0x${(at - CODE).toString(16)}`);

// What runs, on one processor: Linux has made DS of LOCK. Somebody else has made a NOP of the return.
const running = code.slice();
running[0x10] = 0x3e;
running[0x13] = 0x90;
const compared = compareImage(image, {
  live: (at, length) => running.subarray(at - CODE, at - CODE + length),
});
if (typeof compared === 'string') throw new Error(compared);
const { differing, explained, unexplained } = compared.text;
console.log(`${differing} bytes differ; explained:`, JSON.stringify([...explained]));
for (const { start, end } of unexplained)
  console.log(`unexplained: +0x${(start - CODE).toString(16)}, ${end - start} byte`);
