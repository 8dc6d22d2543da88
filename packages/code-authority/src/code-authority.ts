import type { Gfn, Pfn } from '@heki/physical-memory';
import { type DefectChoices, defectSwitches } from '@heki/series';
import type { Answer, Request } from './answer.ts';
import { type FrameEntry, FrameTable } from './frames/frame-table.ts';
import type { AuthorityHost } from './host.ts';
import { buildImage } from './images/build-image.ts';
import type { CodeImage, Site } from './images/code-image.ts';
import type { SignedKernel } from './images/signed-kernel.ts';
import { createChain } from './requests/chain.ts';
import { addProgram, makePack, type ProgramPlace, removeProgram } from './requests/jit.ts';
import { type FileInGuest, load } from './requests/load.ts';
import { type Poke, poke } from './requests/poke.ts';
import { initDone, retire } from './requests/retire.ts';
import { type Placement, seal, sealBooted } from './requests/seal.ts';
import { trampoline } from './requests/trampoline.ts';
import { openText, patchStep } from './requests/weaker-requests.ts';
import { resetAuthority, restoreAuthority, type SavedAuthority, saveAuthority } from './saved-authority.ts';
import { type AuthorityState, copyOfImage, findExport } from './state.ts';
import { type AuthorityDefectId, authorityDefects } from './weaker/authority-defects.ts';

/** What an owner of code is made from. */
export interface CodeAuthorityOptions {
  readonly host: AuthorityHost;
  /** Reads a signed file and looks at its signature; `undefined` when it does not count. It must not throw. */
  readonly readImage: (file: Uint8Array) => CodeImage | undefined;
  /** Weaker variants. Default none. */
  readonly defects?: DefectChoices<AuthorityDefectId>;
}

/** The signed files that an owner of code goes by. */
export interface SignedCode {
  /** The kernel's, which whoever starts the machine hands over. */
  readonly kernel: CodeImage;
  /** As {@link CodeAuthorityOptions.readImage}. */
  readonly readImage: (file: Uint8Array) => CodeImage | undefined;
}

/** An image, as anybody may see it. */
export interface ImageView {
  readonly id: number;
  readonly name: string;
  readonly states: readonly number[];
  /** The host frames of each part; none for one that was given back. */
  readonly frames: readonly (readonly Pfn[])[];
}

/**
 * Decides what a guest's kernel may execute. The guest names files, images, sites and states; bytes and addresses that are executed are
 * the owner's. Each request is a generator that stops where something else can come between; `complete` carries one through.
 */
export interface CodeAuthority {
  seal(image: CodeImage, placement: Placement, states: readonly number[]): Request<number>;
  /** The same for a kernel that decides parts of its code while it boots, as the guest names them. */
  sealBooted<Boot>(kernel: SignedKernel<Boot>, boot: Boot, placement: Placement): Request<number>;
  load(file: FileInGuest, placement: Placement, sites?: readonly Site[]): Request<number>;
  poke(entries: readonly Poke[]): Request;
  retire(image: number): Request;
  initDone(image: number): Request;
  /** @param target none for a template without a branch */
  trampoline(template: string, target: string | undefined, frame: Gfn, base: bigint): Request<number>;
  /** Empty pages become a pack of slots for compiled programs. */
  makePack(frames: readonly Gfn[], base: bigint): Request<number>;
  addProgram(place: ProgramPlace, program: FileInGuest): Request;
  removeProgram(place: ProgramPlace): Answer;
  /** B-A1 alone has such a request. */
  openText(image: number, part: number, page: number, open: boolean): Answer;
  /** B-A2 alone has such a request. */
  patchStep(image: number, site: number, offset: number, bytes: Uint8Array): Answer;
  readonly sealed: boolean;
  readonly images: readonly ImageView[];
  frame(frame: Pfn): FrameEntry;
  /** What must stand in the pages of a part now; `undefined` for no such part. */
  expected(image: number, part: number): Uint8Array | undefined;
  /** SHA-256 over all that was ever done, each step over the one before: 32 bytes. */
  readonly chain: Uint8Array;
  /** Templates of all images, in their order: by what numbers a guest names them. */
  readonly templates: readonly { readonly name: string; readonly targets: readonly string[] }[];
  /** What brings back everything that the owner keeps; memory and rights are the host's. */
  checkpoint(): () => void;
  /** Everything that the owner keeps, as plain data. Call it between requests. */
  save(): SavedAuthority;
  /**
   * Takes the place of everything that it kept, and sets rights anew. Host frames are those of the host that it was saved on.
   *
   * @throws {CodeAuthorityError} when it is malformed: then nothing has changed
   */
  restore(saved: unknown): void;
  /** A new boot: nothing is sealed, and all frames have all rights. */
  reset(): void;
}

/** The owner of a guest's code, which is not sealed yet. */
export function createCodeAuthority({ host, readImage, defects }: CodeAuthorityOptions): CodeAuthority {
  const state: AuthorityState = {
    host,
    readImage,
    defects: defectSwitches(authorityDefects, 'hardened', defects),
    frames: new FrameTable(),
    images: new Map(),
    chain: createChain(),
    sealed: false,
    nextId: 1,
  };
  return {
    seal: (image, placement, states) => seal(state, image, placement, states),
    sealBooted: (kernel, boot, placement) => sealBooted(state, kernel, boot, placement),
    load: (file, placement, sites) => load(state, file, placement, sites),
    poke: (entries) => poke(state, entries),
    retire: (image) => retire(state, image),
    initDone: (image) => initDone(state, image),
    trampoline: (template, target, frame, base) => trampoline(state, template, target, frame, base),
    makePack: (frames, base) => makePack(state, frames, base),
    addProgram: (place, program) => addProgram(state, place, program),
    removeProgram: (place) => removeProgram(state, place),
    openText: (image, part, page, open) => openText(state, image, part, page, open),
    patchStep: (image, site, offset, bytes) => patchStep(state, image, site, offset, bytes),
    get sealed() {
      return state.sealed;
    },
    get images() {
      return [...state.images.values()].map(({ id, image, states, frames }) => ({
        id,
        name: image.name,
        states: [...states],
        frames: frames.map((part) => [...part]),
      }));
    },
    frame: (frame) => state.frames.of(frame),
    expected(id, part) {
      const live = state.images.get(id);
      if (live === undefined) return undefined;
      const built = buildImage(
        live.image,
        live.bases,
        live.states.map((value) => Math.max(value, 0)),
        (name) => findExport(state, name)?.address,
      );
      return built.ok ? built.parts[part] : undefined;
    },
    get chain() {
      return state.chain.head;
    },
    get templates() {
      return [...state.images.values()].flatMap(({ image }) =>
        [...(image.templates ?? [])].map(([name, { branch }]) => ({ name, targets: branch?.targets ?? [] })),
      );
    },
    save: () => saveAuthority(state),
    restore: (saved) => restoreAuthority(state, saved),
    reset: () => resetAuthority(state),
    checkpoint() {
      const images = [...state.images].map(([id, live]) => [id, copyOfImage(live)] as const);
      const { sealed, nextId } = state;
      const backs = [state.frames.checkpoint(), state.chain.checkpoint()];
      return () => {
        state.images.clear();
        for (const [id, live] of images) state.images.set(id, copyOfImage(live));
        state.sealed = sealed;
        state.nextId = nextId;
        for (const back of backs) back();
      };
    },
  };
}
