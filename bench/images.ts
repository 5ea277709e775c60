/** The image of every lab; nothing pulls it. */
export const IMAGE = 'example.org/lab:1';
/** An image that the test kubelet cannot pull. */
export const BAD_IMAGE = 'example.org/no-such-image:1';
