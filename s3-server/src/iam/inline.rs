//! Inline policies of users, groups and roles: `Put…Policy`, `Get…Policy`, `Delete…Policy`, `List…Policies`.

use super::{
    ask::Ask,
    document::{Node, text, texts},
    error::{IamCode, IamError, IamResult, refused},
    holder::Holder,
    names::check_name,
    paging::page,
    policy_document,
};

const MAX_NAME_CHARS: usize = 128;

pub(super) async fn put<T: Holder>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let form = &ask.form;
    let name = check_name("PolicyName", form.need("PolicyName")?, MAX_NAME_CHARS)?;
    let document = form.need("PolicyDocument")?;
    let mut change = ask.change().await?;
    let holder = ask.found::<T>(form.need(T::PARAMETER)?)?;
    policy_document::check_identity(document)?;
    let mut new = holder.record.clone();
    new.inline_mut()
        .insert(name.to_owned(), document.to_owned());
    let chars: usize = new
        .inline()
        .values()
        .map(|text| policy_document::size(text))
        .sum();
    if chars > T::INLINE_CHARS {
        return refused(
            IamCode::LimitExceeded,
            format!(
                "Maximum policy size of {} bytes exceeded for {} {}",
                T::INLINE_CHARS,
                T::WORD.to_ascii_lowercase(),
                holder.record.name()
            ),
        );
    }
    change.put(Some(&holder), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn get<T: Holder>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let holder = ask.found::<T>(ask.form.need(T::PARAMETER)?)?;
    let name = ask.form.need("PolicyName")?;
    let document = holder.record.inline().get(name);
    let document = document.ok_or_else(|| missing::<T>(name))?;
    Ok(vec![
        text(T::PARAMETER, holder.record.name()),
        text("PolicyName", name),
        policy_document::node("PolicyDocument", document),
    ])
}

pub(super) async fn delete<T: Holder>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let mut change = ask.change().await?;
    let holder = ask.found::<T>(ask.form.need(T::PARAMETER)?)?;
    let name = ask.form.need("PolicyName")?;
    let mut new = holder.record.clone();
    let gone = new.inline_mut().remove(name);
    gone.ok_or_else(|| missing::<T>(name))?;
    change.put(Some(&holder), new)?;
    change.commit().await?;
    Ok(Vec::new())
}

pub(super) fn list<T: Holder>(ask: &Ask<'_>) -> IamResult<Vec<Node>> {
    let holder = ask.found::<T>(ask.form.need(T::PARAMETER)?)?;
    let names = holder.record.inline().keys().cloned();
    let (page, mut nodes) = page(&ask.form, names, Clone::clone)?;
    nodes.insert(0, texts("PolicyNames", page));
    Ok(nodes)
}

fn missing<T: Holder>(name: &str) -> IamError {
    let word = T::WORD.to_ascii_lowercase();
    let message = format!("The {word} policy with name {name} cannot be found.");
    IamError::new(IamCode::NoSuchEntity, message)
}
