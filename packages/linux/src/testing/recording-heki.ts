import { createHekiGuest, type HekiGuest, type HekiGuestOptions, type HekiKernel } from '@heki/guest';
import type { Gpa } from '@heki/physical-memory';
import { readU64 } from '@heki/physical-memory';

/** A range that the core asked a hypervisor to protect. */
interface Request {
  readonly start: number;
  readonly end: number;
  /** `r--`, `rw-`, `r-x`, `rwx`, with `!` for immutable. */
  readonly letters: string;
}

/** A core with a hypervisor that records what it is asked for, and answers what `answer` says. */
export interface RecordingHeki {
  readonly requests: Request[];
  answer: number;
  /** Called at each request that is accepted, before anything else happens. */
  onRequest: ((request: Request) => void) | undefined;
  readonly create: (kernel: HekiKernel) => HekiGuest;
}

export function createRecordingHeki(
  options: Pick<HekiGuestOptions, 'profile' | 'config' | 'defects' | 'onEvent'> = {},
): RecordingHeki {
  const recording: RecordingHeki = {
    requests: [],
    answer: 0,
    onRequest: undefined,
    create: (kernel) =>
      createHekiGuest({
        kernel,
        ...options,
        hypervisor: {
          lockCrs: () => 0,
          protectMemory(list) {
            if (recording.answer !== 0) return recording.answer;
            for (const request of readList(kernel, list)) {
              recording.requests.push(request);
              recording.onRequest?.(request);
            }
            return 0;
          },
        },
      }),
  };
  return recording;
}

/** Heki v2's page lists: a header of next, next_pa and npages, then entries of pa, epa and permissions; newest page first. */
function readList({ memory }: HekiKernel, list: Gpa): Request[] {
  const u64 = (address: number): number => {
    const { low = 0, high = 0 } = readU64(memory, address as Gpa) ?? {};
    return high * 2 ** 32 + low;
  };
  const pages: Request[][] = [];
  for (let page: number = list; page !== 0; page = u64(page + 8)) {
    const requests: Request[] = [];
    for (let index = 0; index < u64(page + 16); index++) {
      const entry = page + 24 * (index + 1);
      const permissions = u64(entry + 16);
      const letters = `r${permissions & 2 ? 'w' : '-'}${permissions & 4 ? 'x' : '-'}${permissions & 8 ? '!' : ''}`;
      requests.push({ start: u64(entry) / 4096, end: u64(entry + 8) / 4096, letters });
    }
    pages.unshift(requests);
  }
  return pages.flat();
}
