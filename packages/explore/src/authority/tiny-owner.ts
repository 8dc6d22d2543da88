import { type Answer, type AuthorityDefectId, buildImage } from '@heki/code-authority';
import { PAGE_SIZE } from '@heki/physical-memory';
import { isPack, signedPage, textState } from './signed-pages.ts';
import {
  BASES,
  EVIL,
  FileByte,
  type FileName,
  isFilled,
  KERNEL,
  Offset,
  PROGRAMS,
  type ProgramName,
} from './tiny-images.ts';

/** Frames of the guest: the kernel's text and init text, two that are free, the files of the modules, and two compiled programs. */
export const Frame = {
  TEXT: 0,
  INIT: 1,
  FREE: 2,
  OTHER: 3,
  callee: 4,
  caller: 5,
  shadow: 6,
  plain: 7,
  halves: 8,
} as const;
export const FRAMES = 9;
/** A second guest frame over the kernel's text. */
export const ALIAS = 16;
export const PROCESSORS = 2;
/** Where in a page the attacker writes: bytes that are in no site. */
export const SCRATCH = 0x200;

/** What a guest asks an owner for. Images go by the names of their files: a guest knows the numbers that it was told. */
export type OwnerRequest =
  | { readonly kind: 'seal'; readonly lock: 0 | 1 }
  | { readonly kind: 'load'; readonly file: FileName; readonly into: number; readonly forged?: true }
  | { readonly kind: 'poke'; readonly image: string; readonly site: number; readonly state: number }
  | { readonly kind: 'retire' | 'init-done'; readonly image: string }
  | { readonly kind: 'trampoline' | 'pack'; readonly into: number }
  | { readonly kind: 'add'; readonly program: ProgramName }
  | { readonly kind: 'remove' }
  | { readonly kind: 'open'; readonly open: boolean }
  | { readonly kind: 'patch'; readonly offset: number; readonly bytes: Uint8Array };

/** Something that can happen. A request is carried through, or up to one of its points, and then goes on. */
export type AuthorityAction = { readonly name: string } & (
  | { readonly kind: 'deed'; run(owner: TinyOwner): boolean }
  | { readonly kind: 'ask'; readonly request: OwnerRequest; readonly point: number | undefined }
  | { readonly kind: 'go on' | 'finish' }
);

/** An owner of code over a host of a few frames, a guest with two processors, and a request that may be half done. */
export interface TinyOwner {
  readonly knows: GuestKnowledge;
  /** The request under way, and where it stands; empty without one. */
  readonly underWay: string;
  /** Tells a story from the beginning: the kernel is sealed, and nothing else has happened. Whether all of it can happen; `arrive` is called at its end. */
  tell(story: readonly AuthorityAction[], arrive: () => void): boolean;
  /** A frame as it is in memory. */
  bytes(frame: number): Uint8Array;
  /** A processor stores a word to {@link SCRATCH}. Whether it could. */
  store(cpu: number, gfn: number, word: number): boolean;
  /** The machine is reset, and the kernel booted anew: it is not sealed. Whether it could be. */
  reset(): boolean;
  mayWrite(frame: number): boolean;
  /** By what is set, or by what a processor has cached. Looking may change what is cached: it comes last. */
  mayExecute(frame: number): boolean;
  /** The guest asks for the right to execute a page of its own, where there is a request for that. */
  askToExecute?(gfn: number): boolean;
  /** What else tells two states from each other. */
  rest(): string;
}

/** What the guest was told, and what it has put into its own pages. */
export class GuestKnowledge {
  sealed = true;
  /** It has asked for rights of its own, which can withhold what it has. */
  hasAsked = false;
  /** The numbers of images, by the names of their files, as they were told last. */
  readonly ids = new Map<string, number>();
  /** Frames in whose middle the guest has something of its own. */
  readonly data = new Set<number>();

  begin(): void {
    this.sealed = true;
    this.hasAsked = false;
    this.ids.clear();
    this.ids.set('kernel', 1);
    this.data.clear();
  }

  reset(): void {
    this.begin();
    this.sealed = false;
  }

  /** The number of an image: one that never was, for one that is not known. */
  id(image: string): number {
    return this.ids.get(image) ?? 99;
  }

  told(request: OwnerRequest, number: number): void {
    if (request.kind === 'seal') this.sealed = true;
    if (request.kind === 'load') this.ids.set(request.file, number);
    if (request.kind === 'trampoline' || request.kind === 'pack') this.ids.set(request.kind, number);
  }
}

/** The bytes of the kernel as it boots. */
const BOOTED: readonly Uint8Array[] = (() => {
  const built = buildImage(
    KERNEL,
    BASES.kernel,
    KERNEL.sites.map(() => 0),
    () => undefined,
  );
  if (!built.ok) throw new Error(built.why);
  return built.parts;
})();

/** What a frame holds when the kernel has booted. */
export function bootedPage(frame: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const booted = BOOTED[frame];
  if (booted !== undefined) page.set(booted);
  for (const [name, byte] of Object.entries(FileByte))
    if (Frame[name as keyof typeof FileByte] === frame) page.fill(byte);
  for (const [name, bytes] of Object.entries(PROGRAMS))
    if (Frame[name as keyof typeof PROGRAMS] === frame) page.set(bytes);
  return page;
}

/** The states that the guest says its sites have. */
export const sealStates = (lock: 0 | 1): number[] =>
  KERNEL.sites.map(({ kind }) => (kind === 'lock' ? lock : 0));

/** Switches for weaker variants. */
export const switched = (
  defects: readonly AuthorityDefectId[],
): { readonly [id in AuthorityDefectId]?: boolean } => Object.fromEntries(defects.map((id) => [id, true]));

/** What is broken now. */
export function brokenOf(owner: TinyOwner): string[] {
  const { knows } = owner;
  const broken = new Set<string>();
  const frames = Array.from({ length: FRAMES }, (_, frame) => frame);
  // What the guest has in a page of its own stays there, and what it is given back is empty.
  for (const frame of knows.hasAsked ? [] : frames) {
    if (frame === Frame.TEXT || frame > Frame.OTHER) continue;
    if (owner.mayWrite(frame) ? knows.sealed && isLeftOver(owner, frame) : knows.data.has(frame))
      broken.add('P12');
  }
  if (knows.sealed) {
    const text = owner.bytes(Frame.TEXT);
    if (textState(text, Offset.LSM) !== 0) broken.add('KEY');
    if (textState(text, Offset.LOCK) !== 0) broken.add('LOCK');
    const there = new Set<string>();
    const wanted = new Set<string>();
    for (const frame of frames.filter((one) => owner.mayExecute(one))) {
      const bytes = owner.bytes(frame);
      const page = signedPage(bytes);
      if (page === undefined && !isPack(bytes)) broken.add('P6');
      if (page === undefined) continue;
      there.add(page.name);
      for (const name of page.leadsTo) wanted.add(name);
      if (page.name === 'text' && textState(bytes, Offset.CALL) > 1) wanted.add('callee');
    }
    if (!knows.hasAsked && [...wanted].some((name) => !there.has(name))) broken.add('LINK');
  }
  return [...broken];
}

/** A page that the guest may write holds nothing but what the guest has put there: its word, or a whole page of a module. */
function isLeftOver(owner: TinyOwner, frame: number): boolean {
  const bytes = owner.bytes(frame).slice();
  const view = new DataView(bytes.buffer);
  if (owner.knows.data.has(frame) && view.getUint32(SCRATCH, true) === EVIL)
    view.setUint32(SCRATCH, bytes[0] === 0 ? 0 : 0xcccc_cccc, true);
  return !isFilled(bytes, 0) && signedPage(bytes)?.name !== 'callee';
}

/** Everything that tells two states from each other. It looks at what is cached, and nothing else. */
export function keyOf(owner: TinyOwner): string {
  const { knows } = owner;
  const parts: unknown[] = [
    owner.underWay,
    knows.sealed,
    [...knows.ids],
    [...knows.data].sort(),
    owner.rest(),
  ];
  for (let frame = 0; frame < FRAMES; frame++) {
    const bytes = owner.bytes(frame);
    // What is drawn for a program says nothing: it follows from all that was done before.
    parts.push(isPack(bytes) ? `pack ${bytes[0]}` : digest(bytes));
  }
  return JSON.stringify(parts);
}

/** FNV-1a over the bytes that anything here can change. */
function digest(bytes: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < SCRATCH + 4; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x0100_0193);
  return hash >>> 0;
}

/** What a page holds, in place of what it held. */
export function fillPage(page: Uint8Array, bytes: Uint8Array): void {
  page.fill(0);
  page.set(bytes.subarray(0, PAGE_SIZE));
}

/** The number that a granted request has answered; `undefined` for one that was refused. */
export function grantedNumber(answer: Answer<number | undefined>): number | undefined {
  return answer.ok ? (answer.value ?? 0) : undefined;
}
