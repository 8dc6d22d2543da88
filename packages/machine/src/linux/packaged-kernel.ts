import type { BootedKernel, Place, SignedKernel, Site } from '@heki/code-authority';
import {
  type BootPolicy,
  type BootVector,
  buildText,
  checkBootVector,
  type ImageAddress,
  type ImageRange,
  type ImageView,
  type PatchSite,
  readSites,
} from '@heki/patch-sites';
import { PAGE_SIZE } from '@heki/physical-memory';

/** A real kernel's package, and what whoever starts the machine wants of its boots. */
export interface PackagedKernelOptions {
  readonly image: ImageView;
  /** The image's code, of whole pages. */
  readonly text: ImageRange;
  /** How many processors there are the owner of the code says. */
  readonly policy: Omit<BootPolicy, 'processors'>;
  /** The keys that the manifest of this build lets change, by the names of their symbols; `ftrace` for functions. */
  readonly changeable: ReadonlySet<string>;
}

/**
 * A real kernel for an owner of code, which judges a boot vector before it seals anything by it. One part, the text: with everything in it that boot
 * decides once, and with sites for what may change later.
 */
export function packagedKernel({
  image,
  text,
  policy,
  changeable,
}: PackagedKernelOptions): SignedKernel<BootVector> {
  return {
    objections: (vector, { processors }) =>
      checkBootVector(image, text, vector, { ...policy, processors }).map(
        ({ element, text: why }) => `${element}: ${why}`,
      ),
    booted: (vector) => kernelCodeImage(image, text, vector, changeable),
  };
}

/** Where functions that are traced, or static calls, lead. */
interface Target {
  readonly targets: readonly Place[];
  readonly state: number;
}

const CALL = 0xe8;
/** States of a static call before those with a target. */
const FIRST_TARGET = 2;

/**
 * Its text is built from the image and a boot vector, and nothing of it from the guest's memory. Jump labels, calls that are static and beginnings of
 * functions are sites; all else never changes after the seal. Sites of init code, and conditional static calls, are none.
 */
function kernelCodeImage(
  image: ImageView,
  text: ImageRange,
  vector: BootVector,
  changeable: ReadonlySet<string>,
): BootedKernel {
  const length = Math.ceil((text.end - text.start) / PAGE_SIZE) * PAGE_SIZE;
  const built = buildText(image, text, vector);
  const bytes = built.bytes(text.start, length)?.slice() ?? new Uint8Array(length);
  const place = (at: ImageAddress): Place => ({ part: 0, offset: at - text.start });
  const tracers = ['ftrace_caller', 'ftrace_regs_caller'].flatMap((name) => image.symbols.named(name) ?? []);
  const sites: Site[] = [];
  const states: number[] = [];
  const taken = new Set<ImageAddress>();
  const add = (site: Site, state: number): void => {
    sites.push(site);
    states.push(state);
  };
  for (const site of readSites(image, text)) {
    if (taken.has(site.at)) continue;
    const at = place(site.at);
    const named = vector.sites.get(site.at);
    if (site.kind === 'jump label') {
      const target = place(site.other ?? site.at);
      const [kind, size] = ['jump-label' as const, site.size === 2 ? 2 : 5] as const;
      add({ kind, at, length: size, key: keyName(image, site), target }, named === 'jumps' ? 1 : 0);
    } else if (site.kind === 'ftrace') {
      const found = targetsOf(tracers, typeof named === 'object' ? named.calls : undefined, place);
      if (found !== undefined)
        add({ kind: 'fentry', at, length: 5, key: 'ftrace', targets: found.targets }, found.state);
    } else if (site.kind === 'static call' && site.size === 5) {
      const made = staticCall(image, built, text, site, vector, place);
      if (made !== undefined) add(made.site, made.state);
    }
    taken.add(site.at);
  }
  return {
    image: {
      name: 'kernel',
      parts: [{ kind: 'text', bytes }],
      relocations: [],
      sites,
      exports: new Map(tracers.map((at) => [image.symbols.at(at)[0] ?? '', place(at)])),
      changeable,
    },
    states,
  };
}

/** The states of a function that may be traced; `undefined` when it is traced by what the image does not have. */
function targetsOf(
  tracers: readonly ImageAddress[],
  calls: ImageAddress | undefined,
  place: (at: ImageAddress) => Place,
): Target | undefined {
  const targets = tracers.map(place);
  if (calls === undefined) return { targets, state: 0 };
  const index = tracers.indexOf(calls);
  return index < 0 ? undefined : { targets, state: index + 1 };
}

/**
 * A static call as it is, and as it was linked: the function that it has now, and that of its key in the image. What may be chosen beside is the
 * manifest's to say.
 */
function staticCall(
  image: ImageView,
  built: ImageView,
  text: ImageRange,
  site: PatchSite,
  { calls }: BootVector,
  place: (at: ImageAddress) => Place,
): { readonly site: Site; readonly state: number } | undefined {
  const { at, key } = site;
  const target = key === undefined ? undefined : calls.get(key);
  const now = built.bytes(at, 5);
  if (target === undefined || now === undefined) return undefined;
  const isCall = image.bytes(at, 1)?.[0] === CALL;
  const kind = isCall ? 'static-call' : 'static-jump';
  const common = { kind, at: place(at), length: 5, key: keyName(image, site) } as const;
  // What stands for no function: NOP, and of a tail call a return; a jump to a return thunk stays as it is.
  if (target === 0) {
    if (!isCall && now[0] !== 0xc3) return undefined;
    return { site: common, state: isCall ? 0 : 1 };
  }
  if (isCall && now[0] !== CALL) return { site: common, state: 1 };
  // It leads into a module, and stays: no image of the owner's has that function.
  if (target < text.start || target >= text.end) return undefined;
  return { site: { ...common, targets: [place(target)] }, state: FIRST_TARGET };
}

function keyName(image: ImageView, { key }: PatchSite): string {
  const names = key === undefined ? [] : image.symbols.at(key);
  return names[0] ?? `the key at ${key}`;
}
