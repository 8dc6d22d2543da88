import type { CodeImage, ImagePart, PartKind, Place, Site } from '@heki/code-authority';
import {
  FTRACE_CALLER,
  JUMP_LENGTH,
  KERNEL_SITES,
  KEXEC_CONTROL_PAGE,
  type KernelBuild,
  LSM_KEY,
  MODULE_MEMORY,
  type ModuleMemory,
  moduleSites,
  type SignedSite,
} from '@heki/linux';
import { PAGE_SIZE } from '@heki/physical-memory';
import type { LinkedModule } from './module-file.ts';

const NOP = 0x90;
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
/** Where a taken branch goes, from its site on: the model's kernels have no out-of-line parts. */
const OUT_OF_LINE = 0x100;

const PARTS: { readonly [type in ModuleMemory]: PartKind } = {
  text: 'text',
  data: 'data',
  rodata: 'rodata',
  // The kernel makes it read-only once init is over.
  ro_after_init: 'data',
  init_text: 'init-text',
  init_data: 'init-data',
  init_rodata: 'init-rodata',
};

/** What the manifest of a build lets change: what only traces. What guards security stays as it is at the seal. */
function manifest(sites: readonly SignedSite[]): Set<string> {
  return new Set(sites.map(({ key }) => key).filter((key) => key !== LSM_KEY));
}

/** What is in the text of a model kernel. */
export interface KernelContents {
  /** What of it may change. Default: the sites of a model kernel. */
  readonly sites?: readonly SignedSite[];
  /** Writes what is there beside no-ops at sites. Default: nothing. */
  readonly fill?: (text: Uint8Array) => void;
  /** Functions that modules may call, beside `ftrace_caller`: offsets by their names. */
  readonly functions?: Readonly<Record<string, number>>;
}

/** The image of a model kernel: empty functions with sites at their beginnings, and the real-mode trampoline's text. */
export function signedKernel(
  { name, offsets, trampoline }: KernelBuild,
  { sites = KERNEL_SITES, fill = () => {}, functions = {} }: KernelContents = {},
): CodeImage {
  const text = new Uint8Array(Math.ceil(offsets._etext / PAGE_SIZE) * PAGE_SIZE);
  fill(text);
  for (const { offset } of sites) text.set(NOP5, offset);
  const realMode = new Uint8Array((trampoline.textEnd - trampoline.textStart) * PAGE_SIZE).fill(NOP);
  return {
    name,
    parts: [
      { kind: 'text', bytes: text },
      { kind: 'text', bytes: realMode },
    ],
    relocations: [],
    sites: sites.map((site) => siteOf(site, 0)),
    exports: exportsAt({ ...functions, _text: 0, ftrace_caller: FTRACE_CALLER }, 0),
    changeable: manifest(sites),
    templates: new Map([['relocate_kernel', { bytes: KEXEC_CONTROL_PAGE }]]),
  };
}

/** The image of a module of the model. */
export function signedModule({ name, memory, sites: own, links = {} }: LinkedModule): CodeImage {
  const { calls = [], exports = {}, initLabels = [] } = links;
  const types = MODULE_MEMORY.filter((type) => (memory[type]?.length ?? 0) > 0);
  const text = types.indexOf('text');
  const sites = moduleSites({ name, memory, ...(own && { sites: own }) });
  const label = { kind: 'jump-label', length: JUMP_LENGTH, key: `${name}: init key` } as const;
  const init = initLabels.map((offset): SignedSite => ({ ...label, offset }));
  return {
    name,
    parts: types.map((type): ImagePart => ({ kind: PARTS[type], bytes: wholePages(memory[type]) })),
    relocations: calls.map(({ offset, name: to }) => ({
      at: { part: text, offset: offset + 1 },
      kind: 'rel32',
      to,
      addend: -4,
    })),
    sites: [
      ...sites.map((site) => siteOf(site, text)),
      ...init.map((site) => siteOf(site, types.indexOf('init_text'))),
    ],
    exports: exportsAt(exports, text),
    changeable: manifest([...sites, ...init]),
  };
}

function exportsAt(offsets: Readonly<Record<string, number>>, part: number): Map<string, Place> {
  return new Map(Object.entries(offsets).map(([name, offset]) => [name, { part, offset }]));
}

function siteOf({ kind, offset, length, key }: SignedSite, part: number): Site {
  const site = { kind, at: { part, offset }, length, key };
  switch (kind) {
    case 'jump-label':
      return { ...site, target: { part, offset: offset + OUT_OF_LINE } };
    case 'fentry':
      return { ...site, targets: ['ftrace_caller'] };
    case 'static-call':
      return { ...site, targets: ['_text'] };
    case 'lock':
      return site;
  }
}

function wholePages(bytes: Uint8Array = new Uint8Array()): Uint8Array {
  const pages = new Uint8Array(Math.ceil(bytes.length / PAGE_SIZE) * PAGE_SIZE);
  pages.set(bytes);
  return pages;
}
