import { RETURN_THUNKS } from '../branches.ts';
import { type ImageAddress, type ImageRange, type ImageView, imageVirtualAddress } from '../image-view.ts';
import type { PatchSite } from '../patch-site.ts';
import { readSites } from '../read-sites.ts';
import type { BootVector } from './boot-vector.ts';
import { FEATURES, HARDWARE_WORDS, has, LA57 } from './features.ts';
import { slotOf } from './read-boot-vector.ts';

/** What the owner of a machine knows, or wants, of a boot. */
export interface BootPolicy {
  /** `boot_cpu_data.x86_capability` as this package leaves it on this processor with all mitigations that are wanted. */
  readonly capabilities: readonly number[];
  /** The words of those that are CPUID's, as the VMM gives it to the guest, by their index. A word that is not there has no bits. */
  readonly cpuid: ReadonlyMap<number, number>;
  /** Symbols that returns may jump to. */
  readonly returnThunks: ReadonlySet<string>;
  /** Virtual CPUs of the machine. */
  readonly processors: number;
  /** Functions that the pointer at `slot`, one of pv_ops or its like, may have: the native one, or that of the hypervisor that the guest runs on. */
  readonly paravirt: (name: string, slot: ImageAddress) => boolean;
  /** Whether an address is the kernel's data, which is never executed. */
  readonly isData: (address: bigint) => boolean;
  /** Whether a function of a module begins there that is loaded and whose file was signed. Default none. */
  readonly isModuleFunction?: (at: ImageAddress) => boolean;
}

/** A wish of a boot vector that is not granted. */
export interface BootObjection {
  readonly element: 'features' | 'return thunk' | 'processors' | 'pointers' | 'constants' | 'calls' | 'sites';
  /** What was named, and what was expected. */
  readonly text: string;
}

const TRACERS: ReadonlySet<string> = new Set(['ftrace_caller', 'ftrace_regs_caller']);
/** What ftrace's callers may call while no function is traced, or through ftrace_ops, which are data. */
const CALLBACKS: ReadonlySet<string> = new Set([
  'ftrace_stub',
  'ftrace_stub_graph',
  'ftrace_graph_caller',
  'arch_ftrace_ops_list_func',
]);
/** The last page of the user's half, by the levels of the page tables. */
const USER_POINTER_MAX = { four: 0x7fff_ffff_f000n, five: 0xff_ffff_ffff_f000n } as const;
const CALLEES: { readonly [kind in PatchSite['kind']]?: ReadonlySet<string> } = {
  ftrace: TRACERS,
  'ftrace callback': CALLBACKS,
};
const WHOLE: ImageRange = { start: -(2 ** 31), end: 0 };
const MOST_OBJECTIONS = 100;

/**
 * What of a boot vector may not be: a feature that the processor does not have, a mitigation less than there has to be, code where no function begins,
 * a pointer to what is not data; and what it leaves out, for a site that is not patched reads, or goes through, what a guest can write. Every bit that no site of the image asks for decides no byte, and is not looked at.
 *
 * @param text the image's code
 */
export function checkBootVector(
  image: ImageView,
  text: ImageRange,
  vector: BootVector,
  policy: BootPolicy,
): BootObjection[] {
  const found: BootObjection[] = [];
  const object = (element: BootObjection['element'], what: string): void => {
    if (found.length < MOST_OBJECTIONS) found.push({ element, text: what });
  };
  const isFunction = (at: ImageAddress): boolean =>
    (at >= text.start && at < text.end && image.symbols.at(at).length > 0) ||
    policy.isModuleFunction?.(at) === true;
  for (const bit of usedFeatures(image)) {
    const name = `${Math.floor(bit / 32)}*32+${bit % 32}`;
    const isSet = has(vector.capabilities, bit);
    const word = Math.floor(bit / 32);
    if (isSet && HARDWARE_WORDS.has(word) && !has([policy.cpuid.get(word) ?? 0], bit % 32))
      object('features', `${name} is set: the processor does not have it`);
    else if (isSet !== has(policy.capabilities, bit))
      object('features', `${name} is ${isSet ? 'set' : 'clear'}: expected the other`);
  }
  if (has(vector.capabilities, FEATURES.RETHUNK) && !policy.returnThunks.has(vector.returnThunk))
    object(
      'return thunk',
      `${vector.returnThunk || 'nothing'}: expected ${[...policy.returnThunks].join(' or ')}`,
    );
  if (!RETURN_THUNKS.test(vector.returnThunk)) object('return thunk', 'no return thunk of the image');
  if (vector.oneProcessor && policy.processors !== 1)
    object('processors', `LOCK is DS, and the machine has ${policy.processors} processors`);
  for (const [slot, target] of vector.pointers) {
    const names = image.symbols.at(target);
    const isAllowed = isFunction(target) && names.some((name) => policy.paravirt(name, slot));
    if (target !== 0 && !isAllowed)
      object('pointers', `the pointer at ${hex(slot)} leads to ${names[0] ?? hex(target)}`);
  }
  for (const [name, value] of vector.constants) {
    const why = constantFault(name, value, policy);
    if (why !== undefined) object('constants', `${name} is 0x${value.toString(16)}: expected ${why}`);
  }
  for (const [key, target] of vector.calls)
    if (target !== 0 && !isFunction(target))
      object('calls', `the key at ${hex(key)} leads to ${hex(target)}, where no function begins`);
  for (const [at, first] of mixedKeys(image, text, vector))
    object('sites', `${hex(at)} is as if its key were another than at ${hex(first)}`);
  for (const site of readSites(image, WHOLE)) {
    const missing = missingOf(image, site, vector);
    if (missing !== undefined) object(...missing);
    const state = vector.sites.get(site.at);
    const allowed = CALLEES[site.kind];
    if (allowed === undefined || typeof state !== 'object') continue;
    const names = image.symbols.at(state.calls);
    if (!names.some((name) => allowed.has(name)))
      object(
        'sites',
        `${hex(site.at)} calls ${names[0] ?? hex(state.calls)}: expected a tracer of the image`,
      );
  }
  return found;
}

/** Jump labels that another one of their key contradicts, and that one: Linux changes all of a key at once, and those of init code no more once it is gone. */
function mixedKeys(
  image: ImageView,
  text: ImageRange,
  { sites }: BootVector,
): [at: ImageAddress, first: ImageAddress][] {
  const known = new Map<ImageAddress, { readonly at: ImageAddress; readonly isOn: boolean }>();
  const found: [ImageAddress, ImageAddress][] = [];
  for (const { kind, at, key, inverted = false } of readSites(image, text)) {
    if (kind !== 'jump label' || key === undefined) continue;
    const isOn = (sites.get(at) === 'jumps') !== inverted;
    const first = known.get(key);
    if (first === undefined) known.set(key, { at, isOn });
    else if (first.isOn !== isOn) found.push([at, first.at]);
  }
  return found;
}

/** What of a site the vector has to name, and does not. */
function missingOf(
  image: ImageView,
  site: PatchSite,
  { pointers, constants, calls }: BootVector,
): [BootObjection['element'], string] | undefined {
  const { kind, at, key, variable = '' } = site;
  const slot = kind === 'paravirt' || kind === 'alternative' ? slotOf(image, site) : undefined;
  if (slot !== undefined && !pointers.has(slot))
    return ['pointers', `${hex(at)} calls through ${hex(slot)}, which is not named`];
  if (kind === 'static call' && key !== undefined && !calls.has(key))
    return ['calls', `the key of ${hex(at)} is not named`];
  if (kind === 'runtime constant' && !constants.has(variable))
    return ['constants', `${variable || hex(at)} is not named`];
  return undefined;
}

/** Every feature that a byte of the image depends on. */
function usedFeatures(image: ImageView): Set<number> {
  const bits = new Set<number>(Object.values(FEATURES));
  for (const { feature } of readSites(image, WHOLE)) if (feature !== undefined) bits.add(feature);
  return bits;
}

function constantFault(
  name: string,
  value: bigint,
  { isData, capabilities }: BootPolicy,
): string | undefined {
  if (BigInt.asUintN(64, value) !== value) return 'a number of 64 bits';
  if (name === 'USER_PTR_MAX') {
    const end = has(capabilities, LA57) ? USER_POINTER_MAX.five : USER_POINTER_MAX.four;
    return value === end ? undefined : `the end of the user’s half, 0x${end.toString(16)}`;
  }
  if (name.endsWith('_shift')) return value < 32n ? undefined : 'less than 32';
  return isData(value) ? undefined : 'an address of data';
}

function hex(at: ImageAddress): string {
  return `0x${imageVirtualAddress(at).toString(16)}`;
}
