import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { SiteContext } from './branches.ts';
import { decidedCode } from './build/decided-code.ts';
import {
  type ImageAddress,
  type ImageRange,
  type ImageView,
  imageAddress,
  type ReadLive,
} from './image-view.ts';
import { branchTarget } from './instructions.ts';
import { type PatchSite, SITE_KINDS, type SiteKind } from './patch-site.ts';
import { readSites } from './read-sites.ts';
import { isPatched } from './site-values.ts';
import { isStaticCall, staticCallTarget } from './static-call.ts';

/** Bytes that differ from the image and that nothing explains. */
export interface Unexplained extends ImageRange {
  /** The kind of site that they lie at, whose values are others; `undefined` where nothing is patched. */
  readonly at: SiteKind | undefined;
  /** What stands there now, in letters: another value has others, and the same value of another boot the same. */
  readonly value: string;
}

/** How a part of a running kernel differs from its image. */
export interface ComparedPart {
  readonly range: ImageRange;
  /** Bytes that were compared; the others the dump does not have. */
  readonly compared: number;
  /** Bytes that differ. */
  readonly differing: number;
  /** Those of them that Linux writes itself, by why. */
  readonly explained: ReadonlyMap<SiteKind | 'written at boot', number>;
  /** Ascending. Neighbours with a few equal bytes between are one. */
  readonly unexplained: readonly Unexplained[];
}

/** A static call that leads where the image does not lead it. */
export interface UpdatedStaticCall {
  /** Of the call: what is behind `__SCK__`; `undefined` where the image does not name its key. */
  readonly name: string | undefined;
  /** The function's name; `undefined` out of the image. */
  readonly leadsTo: string | undefined;
}

/** Code, and what explains it only by the guest's own memory, which an attacker may have written. */
export interface ComparedText extends ComparedPart {
  /** Where kprobes are registered, ascending, whether or not they are armed. */
  readonly probed: readonly ImageAddress[];
  /** Functions that ftrace has called when they begin, ascending. */
  readonly traced: readonly ImageAddress[];
  /** How many of these by eBPF, in code that the guest lists. */
  readonly tracedByBpf: number;
  /** Each call and function once, by name. That Linux led it there cannot be told. */
  readonly updatedStaticCalls: readonly UpdatedStaticCall[];
}

/** How a running kernel's code and constants differ from its image. */
export interface ImageComparison {
  readonly text: ComparedText;
  readonly constants: ComparedPart | undefined;
  /** Modules that were compared with their files; none where these are not known. */
  readonly modules?: readonly ComparedModule[];
  /** Names of modules that are loaded and were not: their files are not known, or are of another build. */
  readonly modulesLeftOut?: readonly string[];
}

/** Equal bytes between two differing ones of the same change. */
const WIDEST_GAP = 8;
const PAGE = 4096;
/** No kernel has a gibibyte of code. */
const MOST_BYTES = 2 ** 30;

/** The kernel that runs, and what only its own memory tells. */
export interface RunningKernel {
  readonly live: ReadLive;
  /** Sites of kprobes, which no image knows. */
  readonly probes?: Iterable<PatchSite>;
  /** Code that eBPF made. */
  readonly bpf?: readonly ImageRange[];
  /**
   * `boot_cpu_data.x86_capability`. With them alternatives, returns, retpolines and LOCK prefixes must be those that these features decide, not just any
   * that Linux could write there. Default: any.
   */
  readonly capabilities?: readonly number[] | undefined;
  /** The kernel's own image, where a module is compared. */
  readonly core?: ImageView;
}

/**
 * Compares what runs with the image that it was made of, byte by byte.
 *
 * @returns or why it cannot be done
 */
export function compareImage(image: ImageView, options: RunningKernel): ImageComparison | string {
  const code = image.range('', '_stext', '_etext') ?? image.range('.text');
  const text = code && withTail(image, code);
  if (text === undefined || text.end - text.start > MOST_BYTES)
    return 'the image does not say where its code ends';
  const rodata = image.range('', '__start_rodata', '__end_rodata');
  return {
    text: compareText(image, text, options),
    constants: rodata && compareConstants(image, rodata, options.live),
  };
}

/** The rest of the last page of code can be executed, too. */
function withTail(image: ImageView, { start, end }: ImageRange): ImageRange {
  const tail = ((-end % PAGE) + PAGE) % PAGE;
  return image.bytes(end, tail) === undefined ? { start, end } : { start, end: end + tail };
}

/** How code and constants of a loaded module differ from its file. */
export interface ComparedModule {
  readonly name: string;
  /** Bytes that were compared. */
  readonly compared: number;
  readonly differing: number;
  readonly unexplained: readonly (Unexplained & {
    /** Where the section begins that it lies in, and its name. */
    readonly section: { readonly name: string; readonly start: ImageAddress };
    readonly isCode: boolean;
  })[];
}

/** A section of a module that stays as it is once it is loaded. */
export interface SealedSection extends ImageRange {
  readonly name: string;
  readonly isCode: boolean;
}

/** Compares a module that runs with how its file is laid out in memory. */
export function compareModule(
  name: string,
  image: ImageView,
  sections: readonly SealedSection[],
  running: RunningKernel,
): ComparedModule {
  let compared = 0;
  let differing = 0;
  const unexplained: ComparedModule['unexplained'][number][] = [];
  for (const { name: of, start, end, isCode } of sections) {
    const range = { start, end };
    const part = isCode ? compareText(image, range, running) : compareConstants(image, range, running.live);
    compared += part.compared;
    differing += part.differing;
    for (const run of part.unexplained) unexplained.push({ ...run, section: { name: of, start }, isCode });
  }
  return { name, compared, differing, unexplained };
}

/** Marks of differing bytes. */
const SAME = 0;
const DIFFERS = 255;

function compareText(
  image: ImageView,
  text: ImageRange,
  { live, probes = [], bpf = [], capabilities, core }: RunningKernel,
): ComparedText {
  const found = differences(image, text, live);
  const { marks } = found;
  const context: SiteContext = {
    ...{ image, text, bpf },
    pointer: (where) => pointerAt(live, where),
    live: (where, length) => liveBytes(live, where, length),
  };
  const decided = capabilities && decidedCode(image, text, capabilities, live, core);
  const traced: ImageAddress[] = [];
  let tracedByBpf = 0;
  const updated = new Map<string, UpdatedStaticCall>();
  const at = new Map<number, SiteKind>();
  const visit = (site: PatchSite): void => {
    const start = site.at - text.start;
    const end = start + site.size;
    let differs = false;
    for (let index = start; index < end && !differs; index++) differs = marks[index] !== SAME;
    // That a label is as the image has it may be wrong, too.
    if (!differs && site.kind !== 'jump label') return;
    const now = liveBytes(live, site.at, site.size);
    const was = image.bytes(site.at, site.size);
    const rank = SITE_KINDS.indexOf(site.kind) + 1;
    const isAllowed = now !== undefined && was !== undefined && isPatched(site, now, was, context);
    if (isAllowed && decided?.(site, now) !== false) {
      if (site.kind === 'static call' && isStaticCall(site, now, context) === 'updated') {
        const call = updatedCall(site, staticCallTarget(site, now, context), image);
        updated.set(`${call.name}>${call.leadsTo}`, call);
      }
      for (let index = start; index < end; index++) {
        const mark = marks[index] ?? SAME;
        if (mark !== SAME && rank < mark) marks[index] = rank;
      }
      if (site.kind === 'ftrace' && now[0] === 0xe8) {
        traced.push(site.at);
        const target = branchTarget(now, site.at) ?? 0;
        if (bpf.some(({ start: from, end: to }) => target >= from && target < to)) tracedByBpf++;
      }
    } else {
      for (let index = start; index < end; index++) {
        at.set(index, site.kind);
        if (!differs && now !== undefined) marks[index] = DIFFERS;
      }
    }
  };
  for (const site of readSites(image, text)) visit(site);
  const probed = new Set<ImageAddress>();
  for (const site of probes) {
    // Lists in a circle name one again and again.
    if (site.at < text.start || site.at + site.size > text.end || probed.has(site.at)) continue;
    probed.add(site.at);
    visit(site);
  }
  const explained = new Map<SiteKind, number>();
  for (const mark of marks) {
    const kind = mark === SAME ? undefined : SITE_KINDS[mark - 1];
    if (kind !== undefined) explained.set(kind, (explained.get(kind) ?? 0) + 1);
  }
  return {
    range: text,
    compared: found.compared,
    differing: found.differing,
    explained,
    unexplained: runs(marks, text.start, (index) => at.get(index)).map((run) => ({
      ...run,
      value: valueText(liveBytes(live, run.start, run.end - run.start)),
    })),
    traced: traced.sort((a, b) => a - b),
    tracedByBpf,
    probed: [...probed].sort((a, b) => a - b),
    updatedStaticCalls: [...updated].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, call]) => call),
  };
}

function updatedCall(
  { key }: PatchSite,
  target: ImageAddress | undefined,
  { symbols }: ImageView,
): UpdatedStaticCall {
  const name = key === undefined ? undefined : symbols.at(key).find((one) => one.startsWith('__SCK__'));
  const leadsTo = target === 0 ? 'nothing' : target === undefined ? undefined : symbols.at(target)[0];
  return { name: name?.slice('__SCK__'.length), leadsTo };
}

function pointerAt(live: ReadLive, at: ImageAddress): ImageAddress | undefined {
  const bytes = liveBytes(live, at, 8);
  if (bytes === undefined) return undefined;
  return imageAddress(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
}

/** Constants that the kernel writes before it makes them read-only: __ro_after_init with the tables that it sorts; BTF ids. */
function compareConstants(image: ImageView, rodata: ImageRange, live: ReadLive): ComparedPart {
  const found = differences(image, rodata, live);
  const { marks } = found;
  const written = [
    image.range('', '__start_ro_after_init', '__end_ro_after_init'),
    image.range('.BTF_ids'),
    image.range('__jump_table', '__start___jump_table', '__stop___jump_table'),
    image.range('.static_call_sites', '__start_static_call_sites', '__stop_static_call_sites'),
  ];
  let atBoot = 0;
  for (const range of written) {
    if (range === undefined) continue;
    const start = Math.max(0, range.start - rodata.start);
    const end = Math.min(marks.length, range.end - rodata.start);
    for (let index = start; index < end; index++) {
      if (marks[index] === SAME) continue;
      marks[index] = SAME;
      atBoot++;
    }
  }
  return {
    range: rodata,
    compared: found.compared,
    differing: found.differing,
    explained: new Map([['written at boot', atBoot]]),
    unexplained: runs(marks, rodata.start, () => undefined).map((run) => ({
      ...run,
      value: valueText(withoutSlide(live, run, rodata.start)),
    })),
  };
}

/** Marks every byte of `range` that differs. */
function differences(image: ImageView, { start, end }: ImageRange, live: ReadLive) {
  const marks = new Uint8Array(end - start);
  let compared = 0;
  let differing = 0;
  for (let at = start; at < end; ) {
    // Pages of memory are read whole.
    const length = Math.min(end - at, PAGE - (((at % PAGE) + PAGE) % PAGE));
    const now = live(at, length);
    const was = image.bytes(at, length);
    if (now !== undefined && was !== undefined) {
      compared += length;
      for (let index = 0; index < length; index++) {
        if (now[index] === was[index]) continue;
        marks[at - start + index] = DIFFERS;
        differing++;
      }
    }
    at += length;
  }
  return { marks, compared, differing };
}

/** Bytes that may lie in several pages. */
function liveBytes(live: ReadLive, at: ImageAddress, length: number): Uint8Array | undefined {
  const left = PAGE - (((at % PAGE) + PAGE) % PAGE);
  if (length <= left) return live(at, length);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const part = live(at + done, Math.min(length - done, done === 0 ? left : PAGE));
    if (part === undefined) return undefined;
    bytes.set(part, done);
    done += part.length;
  }
  return bytes;
}

/** Whole pointers, of which those into the image are as far from `base` in every boot. */
function withoutSlide(
  live: ReadLive,
  { start, end }: ImageRange,
  base: ImageAddress,
): Uint8Array | undefined {
  const from = start - (((start % 8) + 8) % 8);
  const bytes = liveBytes(live, from, 8 * Math.ceil((end - from) / 8))?.slice();
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += 8) {
    const pointer = imageAddress(view.getBigUint64(at, true));
    if (Math.abs(pointer - base) < MOST_BYTES) view.setBigInt64(at, BigInt(pointer - base), true);
  }
  return bytes;
}

/** Bytes that are written out in hexadecimal; more are hashed. */
const MOST_WRITTEN = 32;

/** What tells `text` from every other, in few letters. */
export function digestOf(text: string): string {
  return `sha256:${bytesToHex(sha256(utf8ToBytes(text)))}`;
}

function valueText(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return '';
  return bytes.length <= MOST_WRITTEN ? bytesToHex(bytes) : `sha256:${bytesToHex(sha256(bytes))}`;
}

function runs(
  marks: Uint8Array,
  base: ImageAddress,
  kindAt: (index: number) => SiteKind | undefined,
): Omit<Unexplained, 'value'>[] {
  const found: { start: number; end: number; at: SiteKind | undefined }[] = [];
  for (let index = marks.indexOf(DIFFERS); index >= 0; index = marks.indexOf(DIFFERS, index + 1)) {
    const address = base + index;
    const last = found.at(-1);
    const kind = kindAt(index);
    if (last !== undefined && address - last.end <= WIDEST_GAP && kind === last.at) last.end = address + 1;
    else found.push({ start: address, end: address + 1, at: kind });
  }
  return found;
}
