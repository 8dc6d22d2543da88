import { basename } from 'node:path';
import type { ServedSource } from '@heki/inspector';
import { type ByteSource, bytesSource, extractTables, readVmcore, type Vmcore } from '@heki/vmcore';
import { isLiveGuest, openSources } from '@heki/vmcore/node';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import { withCredentials } from '../input/web-credentials.ts';
import { openCore, withPath } from '../open-snapshot.ts';
import { readSidecar, sidecarPath } from '../read-sidecar.ts';

/** A dump as the page gets it: its bytes, part by part, and what stands beside it. */
export interface InspectedSource {
  readonly served: ServedSource;
  readonly parts: readonly ByteSource[];
}

/**
 * Opens the dump at `path`. Of a guest that runs its page tables and registers are taken, as `heki extract --user` does.
 *
 * @throws {InputError} when it is not a dump, or what stands beside it is damaged
 */
export async function openInspectedSource(path: string): Promise<InspectedSource> {
  const parts = withPath(path, () =>
    isLiveGuest(path) ? [tablesOf(openCore(path, {}))] : openSources(withCredentials(path)),
  );
  // What is no dump is told here, and not in the page alone.
  withPath(path, () => readVmcore(parts));
  const sidecar = isLiveGuest(path) ? undefined : await readSidecar(path);
  const name = basename(path);
  return {
    parts,
    served: {
      name,
      parts: parts.map(({ size }, index) => ({ url: `source/${index}`, size })),
      sidecar:
        sidecar === undefined
          ? null
          : { name: sidecar.name, text: await readText(sidecarPath(path), INPUT_KINDS.sidecar) },
    },
  };
}

function tablesOf(core: Vmcore): ByteSource {
  try {
    const chunks = [...extractTables(core, { user: true }).chunks()];
    const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytesSource(bytes);
  } finally {
    core.close();
  }
}
