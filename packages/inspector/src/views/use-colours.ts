import { useEffect, useState } from 'preact/hooks';
import type { MapLayer } from '../map/map-layer.ts';
import { PAGE_CLASSES } from '../memory/page-class.ts';

/** The colours of the map: those of the style sheet. */
export interface MapColours {
  /** By class. */
  readonly classes: readonly string[];
  readonly background: string;
  readonly cursor: string;
  readonly mark: string;
  /** An entry that leads to a table: the inspector's alone. */
  readonly table: string;
}

/** The colours of the scheme, light or dark, that the reader prefers now. */
export function useColours(classes: MapLayer['classes'] = PAGE_CLASSES): MapColours {
  const [colours, setColours] = useState(() => readColours(classes));
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const change = (): void => setColours(readColours(classes));
    change();
    dark.addEventListener('change', change);
    return () => dark.removeEventListener('change', change);
  }, [classes]);
  return colours;
}

function readColours(classes: MapLayer['classes']): MapColours {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    classes: classes.map(({ name }) => colour(name)),
    background: colour('background'),
    cursor: colour('text'),
    mark: colour('mark'),
    table: colour('table'),
  };
}
