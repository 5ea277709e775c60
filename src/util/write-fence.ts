import type { Dispatcher } from 'undici';
import { runContext } from './run-context.ts';

/**
 * Asks once more, at the moment at which a request is written to its connection, whether its run may still write. Between the start
 * of a call and that moment lie credentials that are read and connections that are opened: a process can be stopped there
 * for longer than its lease.
 */
export const writeFence: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) => {
  const run = runContext.getStore();
  if (run === undefined || options.method === 'GET') return dispatch(options, handler);
  const fenced: Dispatcher.DispatchHandler = {
    onRequestStart(controller, context) {
      if (run.mayWrite()) handler.onRequestStart?.(controller, context);
      else controller.abort(new Error('this replica does not lead any more'));
    },
    onResponseStart: (...values) => handler.onResponseStart?.(...values),
    onResponseData: (...values) => handler.onResponseData?.(...values),
    onResponseEnd: (...values) => handler.onResponseEnd?.(...values),
    onResponseError: (...values) => handler.onResponseError?.(...values),
  };
  return dispatch(options, fenced);
};
