import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import {
  EXEC,
  FAR,
  FRAMES,
  FREE,
  GENERATED,
  READ,
  SLOTS,
  type Slot,
  TEXT,
  type TinyKernel,
  type Trouble,
  WRITE,
} from './tiny-kernel.ts';

/** Something that the kernel does. */
export interface GuestAction {
  readonly name: string;
  /** What it is about: the image's text is final, what was allocated is not. */
  readonly about: 'late-init' | 'image' | 'allocated';
  readonly trouble: Trouble;
  /** Whether it could be done. What it broke goes to `fallen`. */
  run(kernel: TinyKernel, fallen: Set<string>): boolean;
}

/** MEM_ATTR bits that the mappings of a frame give it; memory without any can be read and written. */
export function allowedBy(kernel: TinyKernel, frame: number): number {
  return kernel.mappings(frame, true).reduce((all, permissions) => all | permissions, 0) || READ | WRITE;
}

/** Whether the hypervisor was told to allow more than the mappings do, now. */
export function allowsTooMuch(kernel: TinyKernel): boolean {
  if (kernel.late?.outcome !== 'protected') return false;
  return FRAMES.some(
    (frame) => ((kernel.told.get(frame) ?? READ | WRITE) & ~allowedBy(kernel, frame) & 7) !== 0,
  );
}

const LETTERS: readonly (readonly [permissions: number, letters: string])[] = [
  [READ | WRITE, 'rw-'],
  [READ | EXEC, 'r-x'],
  [READ, 'r--'],
];
const TROUBLES: readonly (readonly [trouble: Trouble, text: string])[] = [
  ['nothing', ''],
  ['no-list-page', ', and no page is left for the list'],
  ['refusal', ', and the hypervisor refuses'],
];

/** What a hook answered, against what happened. */
function answered(kernel: TinyKernel, fallen: Set<string>, answer: number): boolean {
  if ((answer === 0) === kernel.failed && kernel.heki.protectsMemory) fallen.add('TOLD');
  return answer === 0;
}

/** A change of one mapping: named, made, and in force. One that cannot come into force is taken back. */
function change(
  kernel: TinyKernel,
  fallen: Set<string>,
  where: Slot,
  to: { readonly frame: number | undefined; readonly permissions: number },
): void {
  const { heki } = kernel;
  const was = kernel.at(where);
  const end = (where.frame + 1) as VirtualFrame;
  const before = was?.permissions ?? 0;
  const begun = heki.beginChange();
  const answer =
    to.frame === undefined
      ? begun.unmap(where.frame, end)
      : begun.update(where.frame, end, to.permissions & ~before, before & ~to.permissions);
  if (allowsTooMuch(kernel)) fallen.add('EARLY');
  if (!answered(kernel, fallen, answer)) return;
  kernel.set(where, to.frame, to.permissions);
  if (answered(kernel, fallen, begun.inForce()) || was === undefined) return;
  // The kernel takes it back: pages that go on having less than their mappings allow would fault.
  kernel.trouble = 'nothing';
  if (to.frame === undefined) {
    kernel.set(where, was.frame, was.permissions);
    heki.map(where.frame, end);
  } else {
    const back = heki.beginChange();
    back.update(where.frame, end, before & ~to.permissions, to.permissions & ~before);
    kernel.set(where, was.frame, was.permissions);
    back.inForce();
  }
}

/** An action, alone and with each trouble that there can be. */
function troubled(about: GuestAction['about'], name: string, run: GuestAction['run']): GuestAction[] {
  return TROUBLES.map(([trouble, text]) => ({
    name: `${name}${text}`,
    about,
    trouble,
    run(kernel, fallen) {
      kernel.failed = false;
      kernel.trouble = trouble;
      const possible = run(kernel, fallen);
      kernel.trouble = 'nothing';
      return possible;
    },
  }));
}

/** The kernel maps a page where nothing is mapped. */
function mapping(name: string, where: Slot, frame: number, permissions: number): GuestAction[] {
  return troubled('allocated', `the kernel maps ${name}`, (kernel, fallen) => {
    if (kernel.at(where) !== undefined) return false;
    kernel.set(where, frame, permissions);
    const end = (where.frame + 1) as VirtualFrame;
    if (!answered(kernel, fallen, kernel.heki.map(where.frame, end))) kernel.set(where, undefined, 0);
    return true;
  });
}

const aboutOf = (where: Slot): GuestAction['about'] => (where === SLOTS.image ? 'image' : 'allocated');

const CHANGED: readonly Slot[] = [SLOTS.image, SLOTS.code, SLOTS.area, SLOTS.direct];

export const GUEST_ACTIONS: readonly GuestAction[] = [
  ...troubled('late-init', 'late init is done', (kernel) => {
    if (kernel.late !== undefined) return false;
    kernel.late = kernel.heki.lateInit();
    return true;
  }),
  ...LETTERS.flatMap(([permissions, letters]) =>
    mapping(`the free page in ${SLOTS.area.name}, ${letters}`, SLOTS.area, FREE, permissions),
  ),
  ...mapping('a page above 512 GiB, r-x', SLOTS.far, FAR, READ | EXEC),
  ...CHANGED.flatMap((where) => [
    ...[...LETTERS, [READ | WRITE | EXEC, 'rwx'] as const].flatMap(([permissions, letters]) =>
      troubled(aboutOf(where), `the kernel makes ${where.name} ${letters}`, (kernel, fallen) => {
        const mapped = kernel.at(where);
        if (mapped === undefined || mapped.permissions === permissions) return false;
        change(kernel, fallen, where, { frame: mapped.frame, permissions });
        return true;
      }),
    ),
    ...troubled(aboutOf(where), `the kernel unmaps ${where.name}`, (kernel, fallen) => {
      if (kernel.at(where) === undefined) return false;
      change(kernel, fallen, where, { frame: undefined, permissions: 0 });
      return true;
    }),
  ]),
  ...(
    [
      [SLOTS.image, TEXT],
      [SLOTS.code, GENERATED],
    ] as const
  ).flatMap(([where, frame]) =>
    troubled(aboutOf(where), `the kernel patches ${where.name}`, (kernel, fallen) => {
      if (!answered(kernel, fallen, kernel.heki.textPokeStart([frame as Gfn]))) return true;
      answered(kernel, fallen, kernel.heki.textPokeEnd([frame as Gfn]));
      return true;
    }),
  ),
];
