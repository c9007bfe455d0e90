//! Layers without parameters: what their types have in common.

/// Makes a type without parameters a layer of every type of numbers, by what it computes.
macro_rules! stateless {
    ($Name:ident, |$layer:pat_param, $x:ident| $value:expr) => {
        impl<T: adamant_tensor::Float> $crate::Forward<T> for $Name {
            #[track_caller]
            fn forward(&self, $x: &adamant_tensor::Tensor<T>) -> adamant_tensor::Tensor<T> {
                let $layer = self;
                $crate::summary::observe(self, $value)
            }
        }

        impl<T: adamant_tensor::Float> $crate::Module<T> for $Name {
            fn visit(
                &self,
                path: &mut $crate::Path,
                _visit: &mut dyn FnMut(&str, $crate::Leaf<'_, T>),
            ) {
                path.enter(self);
            }
            fn set_training(&mut self, _training: bool) {}
        }
    };
}
pub(crate) use stateless;
