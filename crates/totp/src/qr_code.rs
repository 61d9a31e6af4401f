//! [`qr_code_png`]: a text as a QR code.

use std::fmt;

use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, QRCode};
use strongroom_types::Secret;

/// The largest width of an image, in pixels.
pub const MAX_QR_PIXELS: u32 = 1024;

/// Why there is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QrCodeError {
    /// The image would be larger than [`MAX_QR_PIXELS`].
    TooLarge,
    /// The code has more modules than the image would have pixels.
    TooSmall {
        /// The number of pixels that the code needs.
        needs: u32,
    },
    /// The text is too long for a QR code.
    TextTooLong,
}

impl fmt::Display for QrCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the qr_size value must not exceed {MAX_QR_PIXELS}"),
            Self::TooSmall { needs } => {
                write!(f, "the qr_size value must be 0 or at least {needs} for this key")
            }
            Self::TextTooLong => f.write_str("the names and the key are too long for a QR code"),
        }
    }
}

impl std::error::Error for QrCodeError {}

/// The QR code of a text as a square PNG image with this many pixels in each direction. The modules
/// have the largest whole number of pixels; what is left is a margin.
///
/// # Errors
///
/// A size or a text for which there is no image.
pub fn qr_code_png(text: &Secret<String>, pixels: u32) -> Result<Secret<Vec<u8>>, QrCodeError> {
    if pixels > MAX_QR_PIXELS {
        return Err(QrCodeError::TooLarge);
    }
    let text = text.expose_secret().as_str();
    let code = QRBuilder::new(text).ecl(ECL::M).build().map_err(|_| QrCodeError::TextTooLong)?;
    let modules = u32::try_from(code.size).map_err(|_| QrCodeError::TextTooLong)?;
    let scale = pixels / modules;
    if scale == 0 {
        return Err(QrCodeError::TooSmall { needs: modules });
    }
    let margin = (pixels - scale * modules) / 2;
    let side = usize::try_from(pixels).map_err(|_| QrCodeError::TooLarge)?;
    let mut gray = Secret::new(Vec::with_capacity(side * side));
    let module = |at: u32| Some(at.checked_sub(margin)? / scale);
    let mut line = Secret::new(Vec::with_capacity(side));
    let mut drawn_row = None;
    for y in 0..pixels {
        // The lines of one row of modules are the same, so each is drawn once.
        if y == 0 || drawn_row != module(y) {
            drawn_row = module(y);
            line.expose_secret_mut().clear();
            let shades = (0..pixels).map(|x| shade(&code, drawn_row, module(x)));
            line.expose_secret_mut().extend(shades);
        }
        gray.expose_secret_mut().extend_from_slice(line.expose_secret());
    }
    let mut image = Secret::new(Vec::new());
    encode_png(image.expose_secret_mut(), pixels, gray.expose_secret())
        .map_err(|_| QrCodeError::TooLarge)?;
    Ok(image)
}

/// The grey value of a pixel in this row and column of modules.
fn shade(code: &QRCode, row: Option<u32>, column: Option<u32>) -> u8 {
    if is_dark_module(code, row, column) { 0 } else { 255 }
}

fn is_dark_module(code: &QRCode, row: Option<u32>, column: Option<u32>) -> bool {
    let index = |at: Option<u32>| usize::try_from(at?).ok().filter(|at| *at < code.size);
    let (Some(row), Some(column)) = (index(row), index(column)) else { return false };
    code.data.get(row * code.size + column).is_some_and(|module| module.value())
}

fn encode_png(out: &mut Vec<u8>, side: u32, gray: &[u8]) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(gray)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pixels of an image and its width.
    fn decode(image: &Secret<Vec<u8>>) -> (Vec<u8>, u32) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(image.expose_secret()));
        reader.set_transformations(png::Transformations::IDENTITY);
        let mut reader = reader.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.width, info.height);
        (pixels, info.width)
    }

    #[test]
    fn an_image_has_the_asked_size_and_the_finder_patterns() {
        let text = Secret::from_text("otpauth://totp/i:a?secret=GEZDGNBV");
        let (pixels, width) = decode(&qr_code_png(&text, 200).unwrap());
        assert_eq!(width, 200);
        let side = usize::try_from(width).unwrap();
        let is_dark = |x: usize, y: usize| pixels[y * side + x] == 0;
        // A finder pattern is a dark ring around a light one around a dark square.
        let first = (0..side).find(|at| is_dark(*at, *at)).unwrap();
        let scale = (first..side).find(|at| !is_dark(*at, first)).unwrap().abs_diff(first) / 7;
        let line: Vec<bool> =
            (0..7).map(|module| is_dark(first + module * scale, first + 3 * scale)).collect();
        assert_eq!(line, [true, false, true, true, true, false, true]);
    }

    #[test]
    fn sizes_and_texts_without_an_image_are_refused() {
        let text = Secret::from_text("otpauth://totp/i:a?secret=GEZDGNBV");
        let error = |size| qr_code_png(&text, size).err();
        assert!(matches!(error(0), Some(QrCodeError::TooSmall { needs: 21.. })));
        assert!(matches!(error(20), Some(QrCodeError::TooSmall { .. })));
        assert_eq!(error(5000), Some(QrCodeError::TooLarge));
        let long = Secret::new("x".repeat(5000));
        assert_eq!(qr_code_png(&long, 1024).err(), Some(QrCodeError::TextTooLong));
    }
}
