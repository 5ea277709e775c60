import { Memo } from './memo.ts';

/** The name of `Memo` where it keeps nothing, for callers that have not moved to it yet. */
export class SharedWork<T> extends Memo<T> {
  do(...call: Parameters<Memo<T>['get']>): Promise<T> {
    return this.get(...call);
  }
}
