import type { Gfn, Pfn } from '@heki/physical-memory';
import { type DefectChoices, defectSwitches } from '@heki/series';
import type { Answer, Request } from './answer.ts';
import { type FrameEntry, FrameTable } from './frames/frame-table.ts';
import type { AuthorityHost } from './host.ts';
import { buildImage } from './images/build-image.ts';
import type { CodeImage, Site } from './images/code-image.ts';
import { createChain } from './requests/chain.ts';
import { type FileInGuest, load } from './requests/load.ts';
import { type Poke, poke } from './requests/poke.ts';
import { initDone, retire } from './requests/retire.ts';
import { type Placement, seal } from './requests/seal.ts';
import { trampoline } from './requests/trampoline.ts';
import { openText, patchStep } from './requests/weaker-requests.ts';
import { type AuthorityState, findExport, type LiveImage } from './state.ts';
import { type AuthorityDefectId, authorityDefects } from './weaker/authority-defects.ts';

/** What an owner of code is made from. */
export interface CodeAuthorityOptions {
  readonly host: AuthorityHost;
  /** Reads a signed file and looks at its signature; `undefined` when it does not count. It must not throw. */
  readonly readImage: (file: Uint8Array) => CodeImage | undefined;
  /** Weaker variants. Default none. */
  readonly defects?: DefectChoices<AuthorityDefectId>;
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
  load(file: FileInGuest, placement: Placement, sites?: readonly Site[]): Request<number>;
  poke(entries: readonly Poke[]): Request;
  retire(image: number): Request;
  initDone(image: number): Request;
  trampoline(template: string, target: string, frame: Gfn, base: bigint): Request<number>;
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
  /** What brings back everything that the owner keeps; memory and rights are the host's. */
  checkpoint(): () => void;
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
    load: (file, placement, sites) => load(state, file, placement, sites),
    poke: (entries) => poke(state, entries),
    retire: (image) => retire(state, image),
    initDone: (image) => initDone(state, image),
    trampoline: (template, target, frame, base) => trampoline(state, template, target, frame, base),
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
    checkpoint() {
      const images = [...state.images].map(([id, live]) => [id, copyOf(live)] as const);
      const { sealed, nextId } = state;
      const backs = [state.frames.checkpoint(), state.chain.checkpoint()];
      return () => {
        state.images.clear();
        for (const [id, live] of images) state.images.set(id, copyOf(live));
        state.sealed = sealed;
        state.nextId = nextId;
        for (const back of backs) back();
      };
    },
  };
}

function copyOf(live: LiveImage): LiveImage {
  return { ...live, frames: [...live.frames], gone: new Map(live.gone), states: [...live.states] };
}
