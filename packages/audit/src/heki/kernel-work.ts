import type { ComparedRange } from '@heki/machine';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { Rights } from '../rights.ts';
import { overlap, REAL_MODE_FRAMES } from '../within.ts';

/** `refused`: a function of the kernel returns an error. `breaks`: an access does not complete, and the kernel oopses there. */
export type WorkOutcome = 'works' | 'refused' | 'breaks';

/** Legitimate work of the kernel, on the pages that it needs. */
export interface KernelWork {
  readonly id:
    | 'patch-kernel'
    | 'patch-modules'
    | 'start-processors'
    | 'load-crash-kernel'
    | 'kexec'
    | 'other';
  /** `jump labels, static calls, ftrace and kprobes in the kernel's image`. */
  readonly title: string;
  readonly outcome: WorkOutcome;
  /** Pages that it needs. */
  readonly pages: number;
  /** Those of them that no request opens again, or that lack a right. */
  readonly shut: number;
  /** One sentence. */
  readonly why: string;
}

/** What decides about work. */
export interface WorkSettings {
  readonly profile: 'rfc-v2' | 'hardened';
  readonly inForce: boolean;
  /** The hypervisor can withhold execution from the kernel alone. */
  readonly deniesExecution: boolean;
  /** Frames that are immutable, ascending and apart. */
  readonly immutable: readonly FrameRange<Gfn>[];
  /** Frames that are granted less than mappings allow. */
  readonly missing: readonly ComparedRange[];
}

/** What becomes of the kernel's usual work. */
export function kernelWork(kernel: AuditedKernel, settings: WorkSettings): KernelWork[] {
  const { immutable, missing, profile, inForce, deniesExecution } = settings;
  const code = (region: string): FrameExtent[] =>
    kernel.extents.filter(({ mappings }) =>
      mappings.some((one) => one.region === region && (one.rights & Rights.EXECUTE) !== 0),
    );
  const trampoline = kernel.extents.filter(
    ({ end, rights, mappings }) =>
      end <= REAL_MODE_FRAMES &&
      (rights & Rights.EXECUTE) !== 0 &&
      mappings.every(({ region }) => region === 'direct map'),
  );
  const known = [...code('kernel text'), ...code('modules'), ...trampoline, ...kernel.crashKernel];
  const others = missing.filter((range) => overlap([range], known) === 0);
  // The published core stores at once and faults; the mended one asks first, and returns the error.
  const refusal: WorkOutcome = profile === 'rfc-v2' ? 'breaks' : 'refused';
  const sealed = (
    id: KernelWork['id'],
    title: string,
    needed: readonly FrameRange<Gfn>[],
    what: string,
  ): KernelWork => {
    const shut = overlap(needed, immutable);
    return {
      id,
      title,
      outcome: shut > 0 ? refusal : 'works',
      pages: framesIn(needed),
      shut,
      why:
        shut > 0
          ? `${what} immutable, as all that is read-only then: no request opens the page while it is patched`
          : `${what} not immutable: the kernel asks to open the page, and asks to shut it again`,
    };
  };
  const lacking = (
    id: KernelWork['id'],
    title: string,
    needed: readonly FrameRange<Gfn>[],
    outcome: WorkOutcome,
  ): KernelWork => {
    const shut = overlap(needed, missing);
    return {
      id,
      title,
      outcome: shut > 0 ? outcome : 'works',
      pages: framesIn(needed),
      shut,
      why:
        shut > 0
          ? 'pages are granted less than their mappings allow'
          : 'pages keep the rights of their mappings',
    };
  };
  const kexecs = profile === 'rfc-v2' && inForce && deniesExecution;
  return [
    sealed(
      'patch-kernel',
      "jump labels, static calls, ftrace and kprobes in the kernel's image",
      code('kernel text'),
      'its text is',
    ),
    sealed(
      'patch-modules',
      'the same in modules and eBPF packs that are there before late init',
      code('modules'),
      'their code is',
    ),
    lacking(
      'start-processors',
      'CPU hotplug and resume, through the real-mode trampoline',
      trampoline,
      'breaks',
    ),
    ...(kernel.crashKernel.length === 0
      ? []
      : [
          sealed(
            'load-crash-kernel',
            'loading another crash kernel',
            kernel.crashKernel,
            'the one that is loaded is',
          ),
        ]),
    {
      id: 'kexec',
      title: 'kexec into another kernel',
      outcome: kexecs ? 'breaks' : 'works',
      pages: 0,
      shut: 0,
      why: kexecs
        ? 'the page of control code is data, and the published core does not ask to have it executed'
        : 'the page of control code may be executed, or the kernel asks for it',
    },
    ...(others.length === 0
      ? []
      : [lacking('other', 'work on other pages that lose a right', others, 'breaks')]),
  ];
}

function framesIn(ranges: readonly FrameRange<Gfn>[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}
