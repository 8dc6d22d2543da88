import { type CodeImage, complete, createCodeAuthority, RIGHTS } from '@heki/code-authority';
import { createRam, type Gfn, type Pfn } from '@heki/physical-memory';

/** A page of INT3 with one place where the kernel can switch tracing on, and a RET where that jumps to. */
const text = new Uint8Array(4096).fill(0xcc);
text[0x40] = 0xc3;
const kernel: CodeImage = {
  name: 'kernel',
  parts: [{ kind: 'text', bytes: text }],
  relocations: [],
  sites: [
    {
      kind: 'jump-label',
      at: { part: 0, offset: 0x10 },
      length: 5,
      key: 'tracing',
      target: { part: 0, offset: 0x40 },
    },
  ],
  exports: new Map(),
  changeable: new Set(['tracing']),
};
const memory = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: 16 as Pfn }] });
const words = memory.writablePage(3 as Pfn) ?? new Uint32Array();
const page = new Uint8Array(words.buffer, words.byteOffset, 4096);
page.set(text);
page.set([0x0f, 0x1f, 0x44, 0x00, 0x00], 0x10);

const owner = createCodeAuthority({
  host: {
    memory,
    hostFrame: (gfn) => (gfn < 16 ? (Number(gfn) as Pfn) : undefined),
    setRights: (frames, { write, execute }) =>
      console.log(`frames ${frames.join(' ')}: ${write ? 'w' : '-'}${execute ? 'x' : '-'}`),
    setOtherRights: () => console.log(`all others: ${RIGHTS.free.execute ? 'x' : 'no x'}`),
    flush: () => console.log('every processor flushed'),
    stopped: (work) => work(),
    secret: crypto.getRandomValues(new Uint8Array(32)),
    processors: 1,
  },
  readImage: () => undefined,
});
const at = { bases: [0xffff_ffff_8100_0000n], frames: [[3 as Gfn]] };
console.log(complete(owner.seal(kernel, at, [0])).ok);
console.log(complete(owner.poke([{ image: 1, site: 0, state: 1 }])).ok, page.slice(0x10, 0x15).join(' '));
const answer = complete(owner.load({ pages: [5 as Gfn], length: 4096 }, at));
console.log(answer.ok ? 'loaded' : answer.text);
