import type { BackendEvent, Host, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { Footprint } from './footprint.ts';

/** The cell of rights: what is in the tables of the second level, and all that the hypervisor keeps beside them. */
const RIGHTS = -1;
/** The cell of a processor: what it has cached, and its registers. Frames have the cells of their numbers. */
const processorCell = (id: number): number => -2 - id;

/** Sees what a step looks at and changes: frames of the host, rights, processors. */
export interface Watch {
  /** @param inRequest the step begins within a request, which has changed something perhaps that is no frame */
  begin(inRequest: boolean): void;
  /** @param inRequest it ends within a request */
  end(inRequest: boolean): Footprint;
}

/**
 * A hypervisor whose virtual machine is watched. Who looks at a page of the host, or asks to write it, has read or written all of it. Every step reads
 * rights. Whatever the hypervisor does after an exit, and each part of a request, changes rights and all processors, because it may have them forget what they
 * have not cached yet. What a processor alone writes to tables of the second level are accessed and dirty flags, by which nobody goes here: no cells.
 */
export function watchedHypervisor<Machine extends VirtualMachine, Event extends BackendEvent>(
  hypervisor: Hypervisor<Machine, Event>,
): { readonly hypervisor: Hypervisor<Machine, Event>; readonly watch: Watch } {
  let reads = new Set<number>();
  let writes = new Set<number>();
  let watching = false;
  let machine: Machine | undefined;
  const requests = (): void => {
    writes.add(RIGHTS);
    for (const { id } of machine?.vcpus ?? []) writes.add(processorCell(id));
  };
  const watched: Hypervisor<Machine, Event> = {
    ...hypervisor,
    createVirtualMachine(options) {
      const { onYield } = options;
      const made = hypervisor.createVirtualMachine({
        ...options,
        host: watchedHost(options.host, (frame, isWritten) => {
          if (watching) (isWritten ? writes : reads).add(frame);
        }),
        onYield:
          onYield &&
          ((at, fault) => {
            if (watching) requests();
            onYield(at, fault);
          }),
      });
      machine = made;
      const createVcpu = made.createVcpu.bind(made);
      const listened: Machine['createVcpu'] = (setup) =>
        createVcpu({
          ...setup,
          onEvent(event) {
            if (watching && event.type === 'exit') requests();
            if (watching) writes.add(processorCell(event.vcpu));
            setup?.onEvent?.(event);
          },
        });
      return Object.assign(made, { createVcpu: listened });
    },
  };
  return {
    hypervisor: watched,
    watch: {
      begin(inRequest) {
        reads = new Set([RIGHTS]);
        writes = new Set();
        watching = true;
        if (inRequest) requests();
      },
      end(inRequest) {
        if (inRequest) requests();
        watching = false;
        return { reads, writes };
      },
    },
  };
}

/** A host that tells of every page that somebody asks for, but for tables of the second level. */
function watchedHost({ memory, frames }: Host, tell: (frame: number, isWritten: boolean) => void): Host {
  const tables = new Set<number>();
  return {
    memory: {
      page(frame) {
        if (!tables.has(frame)) tell(frame, false);
        return memory.page(frame);
      },
      writablePage(frame) {
        if (!tables.has(frame)) tell(frame, true);
        return memory.writablePage(frame);
      },
    },
    frames: {
      free: (frame) => frames.free(frame),
      allocate() {
        const frame = frames.allocate();
        if (frame !== undefined) tables.add(frame);
        return frame;
      },
    },
  };
}
