import { basename } from 'node:path';
import {
  type ImageSegment,
  KernelImageError,
  type MovedImage,
  moveImage,
  segmentAt,
} from '@heki/kernel-image';
import {
  type Gfn,
  PAGE_SIZE,
  type PhysicalMemory,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { mappedFrame, type ProvenRoot, type VirtualMemory, type Vmcore, virtualMemoryOf } from '@heki/vmcore';
import { PageRights, walkMappings } from '@heki/x86';
import { InputError } from '../failure.ts';
import { openKernelImage } from './open-kernel-image.ts';

/** The memory of a kernel, with the bytes of its image where the snapshot has none. */
export interface ImageMemory extends VirtualMemory {
  /** The name of the image's file. */
  readonly file: string;
  /** Of the kernel that runs, which the image is of: `6.1.0-56-cloud-amd64`. */
  readonly release: string;
  /** Whether a page of it is out of the image, and not out of the guest. */
  isFromImage(frame: VirtualFrame): boolean;
  /** The image where the kernel runs. */
  readonly image: MovedImage;
  /** The guest's memory with the image's text and constants where it lacks them: its data are long no more as the image has them. */
  readonly physical: PhysicalMemory<Gfn>;
}

const PAGE = BigInt(PAGE_SIZE);

/**
 * The kernel's memory with the image in the file at `path` laid over the frames that the snapshot lacks: moved by KASLR's offset, and only where the
 * kernel's page tables still have the image: not its init, nor the gaps between its parts, which are freed and become anything.
 *
 * @throws {InputError} when the file is not an image, or another kernel's
 */
export async function imageMemory(
  path: string,
  { vmcoreinfo }: Vmcore,
  root: ProvenRoot,
  kernel: string | undefined,
): Promise<ImageMemory> {
  const image = await openKernelImage(path);
  const running = vmcoreinfo?.release ?? /^Linux version (\S+)/.exec(kernel ?? '')?.[1];
  // Another kernel's image would fit as well, and name everything wrongly.
  if (running === undefined || image.release === undefined) {
    const what = running === undefined ? 'snapshot' : 'image';
    throw new InputError(
      `nothing tells which Linux the ${what} is of: expected VMCOREINFO, or \`kernel\` in a JSON file beside the snapshot, and "Linux version" in the image`,
      { file: path },
    );
  }
  if (running !== image.release) {
    throw new InputError(`the image is of Linux ${image.release}, the snapshot of ${running}`, {
      file: path,
    });
  }
  const buildId = vmcoreinfo?.values.get('BUILD-ID');
  if (buildId !== undefined && image.buildId !== undefined && buildId !== image.buildId) {
    throw new InputError(
      `the image has the build id ${image.buildId}, the snapshot's kernel ${buildId}: it is another build of the same release`,
      { file: path },
    );
  }
  const linked = image.segments[0]?.address ?? 0n;
  const offset = virtualAddressOf(root.text.virtualFrame) - linked;
  if (vmcoreinfo?.kernelOffset !== undefined && vmcoreinfo.kernelOffset !== offset) {
    throw new InputError(
      `the image begins at 0x${linked.toString(16)}, which is not 0x${vmcoreinfo.kernelOffset.toString(16)} below the text of the snapshot's kernel: it is another's`,
      { file: path },
    );
  }
  return laid(moved(image, Number(offset), path), root, basename(path), running);
}

function moved(image: Parameters<typeof moveImage>[0], offset: number, path: string): MovedImage {
  try {
    return moveImage(image, offset);
  } catch (error) {
    if (!(error instanceof KernelImageError)) throw error;
    throw new InputError(error.message, { file: path }, error);
  }
}

function laid(image: MovedImage, root: ProvenRoot, file: string, release: string): ImageMemory {
  const guest = virtualMemoryOf(root);
  const distance = root.text.virtualFrame - root.text.frame;
  const pages = new Map<Gfn, Uint32Array | undefined>();
  /** The page that the image has at `virtualFrame`, where the snapshot lacks it and the kernel has not freed it; of a kind alone, if one is given. */
  const imagePage = (
    virtualFrame: VirtualFrame,
    kind?: ImageSegment['kind'],
  ): Uint8Array<ArrayBuffer> | undefined => {
    const frame = mappedFrame(root, virtualFrame);
    if (frame === undefined || frame !== virtualFrame - distance || root.memory.page(frame) !== undefined)
      return undefined;
    const start = virtualAddressOf(virtualFrame);
    const segment = segmentAt(image, start);
    if (segment === undefined || segment.kind === 'init' || segment.kind !== (kind ?? segment.kind))
      return undefined;
    // What is freed of text and constants is made writable: the gaps behind them.
    if (segment.kind === 'text' && isWritable(root, virtualFrame)) return undefined;
    const at = Number(start - segment.address);
    const page = new Uint8Array(PAGE_SIZE);
    page.set(segment.bytes.subarray(at, at + PAGE_SIZE));
    return page;
  };
  /** The page of the image that is mapped at `page`, which may be one of the direct map. */
  const pageAt = (page: VirtualFrame): Uint8Array | undefined => {
    const frame = mappedFrame(root, page);
    return frame === undefined ? undefined : imagePage((frame + distance) as VirtualFrame);
  };
  return {
    file,
    read(address, length) {
      const whole = guest.read(address, length);
      if (whole !== undefined) return whole;
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const at = (address + BigInt(done)) as VirtualAddress;
        const offset = Number(at % PAGE);
        const part = Math.min(length - done, PAGE_SIZE - offset);
        const read =
          guest.read(at, part) ?? pageAt(Number(at / PAGE) as VirtualFrame)?.subarray(offset, offset + part);
        if (read === undefined) return undefined;
        bytes.set(read, done);
        done += part;
      }
      return bytes;
    },
    release,
    isFromImage: (frame) => pageAt(frame) !== undefined,
    image,
    physical: {
      page(frame) {
        const own = root.memory.page(frame);
        if (own !== undefined) return own;
        if (!pages.has(frame)) {
          const bytes = imagePage((frame + distance) as VirtualFrame, 'text');
          pages.set(frame, bytes === undefined ? undefined : new Uint32Array(bytes.buffer));
        }
        return pages.get(frame);
      },
      writablePage: () => undefined,
    },
  };
}

function isWritable(root: ProvenRoot, virtualFrame: VirtualFrame): boolean {
  let writable = true;
  walkMappings(root, virtualFrame, (virtualFrame + 1) as VirtualFrame, ({ effective }) => {
    writable = (effective & PageRights.WRITE) !== 0;
  });
  return writable;
}
