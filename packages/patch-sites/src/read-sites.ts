import type { ImageAddress, ImageRange, ImageView } from './image-view.ts';
import type { PatchSite, SiteKind } from './patch-site.ts';

/**
 * Every site of the image that its own tables, or its symbols, say is patched, in no order. A table that the image does not have, as
 * kernels of other versions do not, adds nothing.
 *
 * @param text sites elsewhere, as in code that is freed after boot, are left out
 */
export function* readSites(image: ImageView, text: ImageRange): Generator<PatchSite> {
  for (const site of allSites(image)) {
    if (site.at >= text.start && site.at + site.size <= text.end) yield site;
  }
}

function* allSites(image: ImageView): Generator<PatchSite> {
  yield* jumpLabels(image);
  yield* staticCalls(image);
  yield* ftraceSites(image);
  yield* alternatives(image);
  yield* paravirtSites(image);
  yield* listed(image, 'retpoline', '.retpoline_sites', '__retpoline_sites', 5);
  yield* listed(image, 'return thunk', '.return_sites', '__return_sites', 5);
  yield* listed(image, 'call thunk', '.call_sites', '__call_sites', 5);
  yield* listed(image, 'endbr seal', '.ibt_endbr_seal', '__ibt_endbr_seal', 4);
  yield* lockSites(image);
  yield* runtimeConstants(image);
}

/** LOCK prefixes. */
export function lockSites(image: ImageView): Generator<PatchSite> {
  return listed(image, 'smp lock', '.smp_locks', '__smp_locks', 1);
}

/** A table as a view, and where it lies. */
function table(image: ImageView, section: string, from?: string, to?: string) {
  const range = image.range(section, from, to);
  const bytes = range && image.bytes(range.start, range.end - range.start);
  if (range === undefined || bytes === undefined) return undefined;
  return { start: range.start, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
}

/** `s32` entries, each relative to itself (.retpoline_sites and its like). */
function* listed(
  image: ImageView,
  kind: SiteKind,
  section: string,
  symbol: string,
  size: number,
): Generator<PatchSite> {
  const found = table(image, section, symbol, `${symbol}_end`);
  if (found === undefined) return;
  for (let at = 0; at + 4 <= found.view.byteLength; at += 4) {
    const site = found.start + at + found.view.getInt32(at, true);
    yield { kind, at: site, size: kind === 'retpoline' ? size + prefixBytes(image, site) : size };
  }
}

/** A call of a thunk may have a CS prefix; a conditional jump has two bytes of opcode. */
function prefixBytes(image: ImageView, at: ImageAddress): number {
  const first = image.bytes(at, 1)?.[0];
  return first === 0x2e || first === 0x0f ? 1 : 0;
}

/** struct jump_entry: s32 code, s32 target, s64 key, each relative to itself. */
function* jumpLabels(image: ImageView): Generator<PatchSite> {
  const found = table(image, '__jump_table', '__start___jump_table', '__stop___jump_table');
  if (found === undefined) return;
  for (let at = 0; at + 16 <= found.view.byteLength; at += 16) {
    const site = found.start + at + found.view.getInt32(at, true);
    const other = found.start + at + 4 + found.view.getInt32(at + 4, true);
    const first = image.bytes(site, 1)?.[0];
    // Flags in the two lowest bits: jumps while the key is off, a site of the init part.
    const tagged = Number(found.view.getBigInt64(at + 8, true));
    const flags = ((tagged % 4) + 4) % 4;
    const key = found.start + at + 8 + tagged - flags;
    // NOP2 or JMP rel8; else NOP5 or JMP rel32.
    const size = first === 0x66 || first === 0xeb ? 2 : 5;
    yield { kind: 'jump label', at: site, size, other, key, inverted: flags % 2 === 1 };
  }
}

/** struct static_call_site: s32 addr, s32 key, each relative to itself; and trampolines, which no table has. */
function* staticCalls(image: ImageView): Generator<PatchSite> {
  const found = table(image, '.static_call_sites', '__start_static_call_sites', '__stop_static_call_sites');
  if (found !== undefined) {
    for (let at = 0; at + 8 <= found.view.byteLength; at += 8) {
      const site = found.start + at + found.view.getInt32(at, true);
      const size = image.bytes(site, 1)?.[0] === 0x0f ? 6 : 5;
      // The two lowest bits are flags: a tail call, a site of the init part.
      const key = found.start + at + 4 + found.view.getInt32(at + 4, true);
      yield { kind: 'static call', at: site, size, key: key - (((key % 4) + 4) % 4) };
    }
  }
  for (const [name, at] of image.symbols.withPrefix('__SCT__')) {
    const key = image.symbols.named(`__SCK__${name.slice('__SCT__'.length)}`);
    yield { kind: 'static call', at, size: 5, key };
  }
}

/** __mcount_loc: u64 addresses; and the calls in ftrace's own code, which no table has. */
function* ftraceSites(image: ImageView): Generator<PatchSite> {
  const found = table(image, '__mcount_loc', '__start_mcount_loc', '__stop_mcount_loc');
  if (found !== undefined) {
    for (let at = 0; at + 8 <= found.view.byteLength; at += 8) {
      yield { kind: 'ftrace', at: Number(found.view.getBigInt64(at, true)), size: 5 };
    }
  }
  for (const name of ['ftrace_call', 'ftrace_regs_call', 'ftrace_graph_call']) {
    const at = image.symbols.named(name);
    if (at !== undefined) yield { kind: 'ftrace callback', at, size: 5 };
  }
}

/**
 * struct alt_instr: s32 instruction, s32 replacement, then 4 bytes to Linux 6.2 and 6 since of what feature, and of lengths in its
 * last two bytes.
 */
function* alternatives(image: ImageView): Generator<PatchSite> {
  const found = table(image, '.altinstructions', '__alt_instructions', '__alt_instructions_end');
  const bytes = alternativeBytes(image);
  if (found === undefined || bytes === undefined) return;
  for (let at = 0; at + bytes <= found.view.byteLength; at += bytes) {
    const feature = found.view.getUint16(at + 8, true);
    const flags = bytes === 14 ? found.view.getUint16(at + 10, true) : feature >> 15;
    yield {
      kind: 'alternative',
      at: found.start + at + found.view.getInt32(at, true),
      size: found.view.getUint8(at + bytes - 2),
      other: found.start + at + 4 + found.view.getInt32(at + 4, true),
      otherSize: found.view.getUint8(at + bytes - 1),
      feature: bytes === 14 ? feature : feature & 0x7fff,
      inverted: (flags & 1) === 1,
      isDirectCall: (flags & 2) === 2,
    };
  }
}

/** Bytes of an entry of `.altinstructions`: 12 to Linux 6.2, 14 since; `undefined` where the image has no such table. */
export function alternativeBytes(image: ImageView): 12 | 14 | undefined {
  const found = table(image, '.altinstructions', '__alt_instructions', '__alt_instructions_end');
  const replacements = image.range('.altinstr_replacement');
  return found && ([14, 12] as const).find((size) => isTable(found, size, replacements));
}

/** Whether all entries of `size` bytes name replacements where replacements are. */
function isTable(
  { start, view }: { readonly start: ImageAddress; readonly view: DataView },
  size: number,
  replacements: ImageRange | undefined,
): boolean {
  if (view.byteLength % size !== 0) return false;
  for (let at = 0; at < view.byteLength; at += size) {
    const other = start + at + 4 + view.getInt32(at + 4, true);
    const length = view.getUint8(at + size - 1);
    if (length > view.getUint8(at + size - 2)) return false;
    if (replacements !== undefined && (other < replacements.start || other + length > replacements.end))
      return false;
  }
  return true;
}

/** struct paravirt_patch_site, to Linux 6.7: u64 instruction, u8 type, u8 length, to 16 bytes. */
function* paravirtSites(image: ImageView): Generator<PatchSite> {
  const found = table(image, '.parainstructions', '__parainstructions', '__parainstructions_end');
  if (found === undefined) return;
  for (let at = 0; at + 16 <= found.view.byteLength; at += 16) {
    const site = Number(found.view.getBigInt64(at, true));
    yield { kind: 'paravirt', at: site, size: found.view.getUint8(at + 9) };
  }
}

/** Since Linux 6.10: s32 entries relative to themselves, of pointers 8 bytes, of shifts 1. */
function* runtimeConstants(image: ImageView): Generator<PatchSite> {
  for (const [prefix, size] of [
    ['__start_runtime_ptr_', 8],
    ['__start_runtime_shift_', 1],
  ] as const) {
    for (const [name] of image.symbols.withPrefix(prefix)) {
      const section = name.slice('__start_'.length);
      const variable = section.replace(/^runtime_(ptr|shift)_/, '');
      for (const site of listedAt(image, section, size)) yield { ...site, variable };
    }
  }
}

function* listedAt(image: ImageView, section: string, size: number): Generator<PatchSite> {
  const found = table(image, section, `__start_${section}`, `__stop_${section}`);
  if (found === undefined) return;
  for (let at = 0; at + 4 <= found.view.byteLength; at += 4) {
    yield { kind: 'runtime constant', at: found.start + at + found.view.getInt32(at, true), size };
  }
}
