import { useEffect, useState } from 'preact/hooks';
import type { Answer } from '../model/inspector-model.ts';

/**
 * What `ask` answers; that of before until then, so that nothing jumps.
 *
 * @param key what is asked: another one is asked anew
 */
export function useAnswer<Value>(
  key: string,
  ask: () => Promise<Answer<Value>>,
): { readonly answer: Answer<Value> | undefined; readonly isCurrent: boolean } {
  const [found, setFound] = useState<{ readonly key: string; readonly answer: Answer<Value> }>();
  useEffect(() => {
    let isWanted = true;
    void ask().then((answer) => {
      if (isWanted) setFound({ key, answer });
    });
    return () => {
      isWanted = false;
    };
  }, [key]);
  return { answer: found?.answer, isCurrent: found?.key === key };
}
