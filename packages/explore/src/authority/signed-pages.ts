import { type Bases, buildImage, type CodeImage, statesOf } from '@heki/code-authority';
import { PAGE_SIZE } from '@heki/physical-memory';
import { BASES, EVIL, HALVES, isFilled, KERNEL, MODULES, Offset, PROGRAMS } from './tiny-images.ts';

/** A page that was signed, or that the owner makes of what was. */
export interface SignedPage {
  readonly name: string;
  /** Names of the pages that it leads into, in any state. */
  readonly leadsTo: readonly string[];
  /** With every site in state 0. */
  readonly bytes: Uint8Array;
  readonly sites: readonly { readonly offset: number; readonly states: readonly Uint8Array[] }[];
}

/** Where every name lies, by the files: no table of anybody's is asked. */
const ADDRESSES: Readonly<Record<string, bigint>> = {
  f: BASES.kernel[0] + BigInt(Offset.EXPORT),
  g: BASES.callee[0] + BigInt(Offset.EXPORT),
};

function pagesOf(
  image: CodeImage,
  bases: Bases,
  leadsTo: readonly string[],
  names: readonly string[],
): SignedPage[] {
  const built = buildImage(
    image,
    bases,
    image.sites.map(() => 0),
    (name) => ADDRESSES[name],
  );
  if (!built.ok) throw new Error(built.why);
  return built.parts.map((bytes, part) => ({
    name: names[part] ?? image.name,
    leadsTo,
    bytes,
    sites: image.sites.flatMap((site) => {
      const { at, length } = site;
      if (at.part !== part) return [];
      const states = Array.from({ length: statesOf(site) }, (_, value) => {
        const one = buildImage({ ...image, sites: [site] }, bases, [value], (name) => ADDRESSES[name]);
        return (
          (one.ok ? one.parts[part] : undefined)?.slice(at.offset, at.offset + length) ?? new Uint8Array()
        );
      });
      return [{ offset: at.offset, states }];
    }),
  }));
}

/** The page that {@link KERNEL}'s template makes: a call of `g`. */
const TRAMPOLINE: CodeImage = {
  name: 'trampoline',
  parts: [
    {
      kind: 'text',
      bytes: Uint8Array.from({ length: PAGE_SIZE }, (_, at) => KERNEL.templates?.get('t')?.bytes[at] ?? 0xcc),
    },
  ],
  relocations: [{ at: { part: 0, offset: 1 }, kind: 'rel32', to: 'g', addend: -4 }],
  sites: [],
  exports: new Map(),
  changeable: new Set(),
};

const PAGES: readonly SignedPage[] = [
  ...pagesOf(KERNEL, BASES.kernel, [], ['text', 'init text']),
  ...pagesOf(MODULES.callee, BASES.callee, ['text'], []),
  ...pagesOf(MODULES.caller, BASES.caller, ['callee'], []),
  ...pagesOf(MODULES.shadow, BASES.shadow, [], []),
  ...pagesOf(TRAMPOLINE, BASES.trampoline, ['callee'], []),
];

/** The pages that a page may be: those of a pack are told by {@link isPack}. */
export function signedPage(bytes: Uint8Array): SignedPage | undefined {
  return PAGES.find((page) => isSigned(page, bytes));
}

/** The state of a site of the kernel's text, by its bytes; -1 for none of them. */
export function textState(text: Uint8Array, offset: number): number {
  const site = PAGES[0]?.sites.find((one) => one.offset === offset);
  return site?.states.findIndex((state) => holds(text, offset, state)) ?? -1;
}

/** Whether each byte is the signed one, and each site whole in one of its states. */
function isSigned({ bytes: signed, sites }: SignedPage, bytes: Uint8Array): boolean {
  let from = 0;
  for (const { offset, states } of sites) {
    if (!isSame(bytes, signed, from, offset)) return false;
    const found = states.find((state) => holds(bytes, offset, state));
    if (found === undefined) return false;
    from = offset + found.length;
  }
  return isSame(bytes, signed, from, PAGE_SIZE);
}

/** Whether a page is a pack: INT3, and perhaps the program in halves at its beginning, with others than its attacker has chosen. */
export function isPack(bytes: Uint8Array): boolean {
  if (bytes[PAGE_SIZE - 1] !== 0xcc) return false;
  const masked = bytes.slice();
  const view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
  if (holds(bytes, 0, PROGRAMS.halves.subarray(0, HALVES[0]))) {
    for (const half of HALVES) {
      if (view.getUint32(half, true) === EVIL) return false;
      masked.set(PROGRAMS.halves.subarray(half, half + 4), half);
    }
    if (!holds(masked, 0, PROGRAMS.halves)) return false;
    masked.fill(0xcc, 0, PROGRAMS.halves.length);
  }
  return isFilled(masked, 0xcc);
}

function holds(bytes: Uint8Array, offset: number, wanted: Uint8Array): boolean {
  return wanted.every((byte, index) => bytes[offset + index] === byte);
}

function isSame(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** The page of the module that others call, as the owner makes it. */
export function calleeBytes(): Uint8Array {
  return PAGES.find(({ name }) => name === 'callee')?.bytes ?? new Uint8Array();
}
