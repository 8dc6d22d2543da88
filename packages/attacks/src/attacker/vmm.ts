import type { ProtectionState } from '@heki/hypervisor';
import type { LinuxMachine } from '@heki/machine';
import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { NotExpressible } from '../attack/not-expressible.ts';
import type { Recorder } from './recorder.ts';

/** What the VMM of the guest can do. */
export interface Vmm {
  /** Stores through its own mapping of guest memory. */
  write(gpa: Gpa, bytes: Uint8Array): void;
  /** Gives the guest memory at a new place, with the host frame of `frame` behind it: its frame number there. */
  mapAgain(frame: Gfn): Gfn;
  /** Takes the memory with `frame` away and gives it again at the same place. */
  recreate(frame: Gfn): void;
  /** The same, with `other` behind `frame` and all else as it was. */
  replaceFrame(frame: Gfn, other: Gfn): void;
  /** Puts back what was enforced before the kernel booted, from a state that was saved then. */
  rollBack(): void;
}

/** The regions of memory that the machine was made with. */
export interface GuestRegion {
  readonly start: Gfn;
  readonly end: Gfn;
}

/** Above all memory that the modelled machines have or can plug in. */
const NEW_MEMORY = 0x40_0000 as Gfn;

export function createVmm(options: {
  readonly machine: LinuxMachine;
  readonly recorder: Recorder;
  readonly regions: readonly GuestRegion[];
  /** What was enforced before boot. */
  readonly before: ProtectionState | undefined;
}): Vmm {
  const { machine, recorder, regions, before } = options;
  const { virtualMachine } = machine;
  const regionOf = (frame: Gfn): GuestRegion => {
    const region = regions.find(({ start, end }) => frame >= start && frame < end);
    if (region === undefined) throw new NotExpressible('the frame is in no region of memory');
    return region;
  };
  const add = (start: Gfn, end: Gfn, backing: Pfn): void => {
    if (start < end) virtualMachine.addMemory({ start, frames: end - start, backing });
  };
  return {
    write: (gpa, bytes) => recorder.store('the VMM', gpa, () => virtualMachine.write('vmm', gpa, bytes)),
    mapAgain(frame) {
      recorder.does(
        `the VMM adds memory at guest frame 0x${NEW_MEMORY.toString(16)} over the host frame of guest frame 0x${frame.toString(16)}`,
        () => virtualMachine.addMemory({ start: NEW_MEMORY, frames: 1, backing: machine.hostFrame(frame) }),
      );
      return NEW_MEMORY;
    },
    recreate(frame) {
      const { start, end } = regionOf(frame);
      recorder.does('the VMM removes the memory and adds it again', () => {
        virtualMachine.removeMemory(start);
        add(start, end, machine.hostFrame(start));
      });
    },
    replaceFrame(frame, other) {
      const { start, end } = regionOf(frame);
      const next = (frame + 1) as Gfn;
      recorder.does('the VMM puts another host frame behind the guest frame', () => {
        virtualMachine.removeMemory(start);
        add(start, frame, machine.hostFrame(start));
        add(frame, next, machine.hostFrame(other));
        add(next, end, machine.hostFrame(next));
      });
    },
    rollBack() {
      if (before === undefined) throw new NotExpressible('protection cannot be saved and restored here');
      recorder.does(
        'the VMM restores what was enforced before the kernel booted',
        () => void virtualMachine.restore(before),
      );
    },
  };
}
